"""`mlx-spec train …`: making a draft for a target. The recipes are `mlx_spec.training`."""

import typer

from mlx_spec.cli.commands.train.draft import draft
from mlx_spec.cli.commands.train.eagle import eagle
from mlx_spec.cli.commands.train.experience import experience
from mlx_spec.cli.commands.train.medusa import medusa
from mlx_spec.cli.commands.train.narrow import narrow
from mlx_spec.cli.commands.train.rounds import rounds
from mlx_spec.cli.commands.train.sample import sample
from mlx_spec.cli.commands.train.states import states

app = typer.Typer(no_args_is_help=True)
for _command in (eagle, medusa, states, rounds, experience, draft, sample, narrow):
    app.command()(_command)
