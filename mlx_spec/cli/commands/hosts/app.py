"""`mlx-spec hosts …`: finding machines, agreeing with them, and looking at them before a model is split over them."""

import typer

from mlx_spec.cli.commands.hosts.answer import answer_questions
from mlx_spec.cli.commands.hosts.carry import carry
from mlx_spec.cli.commands.hosts.check import check
from mlx_spec.cli.commands.hosts.follow import follow
from mlx_spec.cli.commands.hosts.forget import forget
from mlx_spec.cli.commands.hosts.join import join
from mlx_spec.cli.commands.hosts.list import list_machines
from mlx_spec.cli.commands.hosts.offer import offer

app = typer.Typer(no_args_is_help=True)
for _name, _command in (
    ("list", list_machines),
    ("offer", offer),
    ("join", join),
    ("forget", forget),
    ("check", check),
):
    app.command(_name)(_command)
app.command("answer", hidden=True)(answer_questions)
app.command("carry", hidden=True)(carry)
app.command("follow", hidden=True)(follow)
