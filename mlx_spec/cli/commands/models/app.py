"""`mlx-spec models …`: finding, fetching and keeping models, and which of them fit together.

MLX, the tokenizers and the Hub's library are imported inside the commands: `--help` answers at once.
"""

import typer

from mlx_spec.cli.commands.models.fit import fit
from mlx_spec.cli.commands.models.import_file import import_file
from mlx_spec.cli.commands.models.list import list_models
from mlx_spec.cli.commands.models.login import login
from mlx_spec.cli.commands.models.mirror import mirror
from mlx_spec.cli.commands.models.move import move
from mlx_spec.cli.commands.models.pairs import pairs
from mlx_spec.cli.commands.models.pull import pull
from mlx_spec.cli.commands.models.quantize import quantize_model
from mlx_spec.cli.commands.models.rm import rm
from mlx_spec.cli.commands.models.search import search
from mlx_spec.cli.commands.models.show import show
from mlx_spec.cli.commands.models.try_pair import try_pair
from mlx_spec.cli.commands.models.verify import verify

app = typer.Typer(no_args_is_help=True)
for _name, _command in (
    ("pairs", pairs),
    ("fit", fit),
    ("import", import_file),
    ("quantize", quantize_model),
    ("search", search),
    ("show", show),
    ("pull", pull),
    ("list", list_models),
    ("verify", verify),
    ("rm", rm),
    ("move", move),
    ("login", login),
    ("mirror", mirror),
    ("try", try_pair),
):
    app.command(_name)(_command)
