"""Options that the commands for models share."""

from typing import Annotated

import typer

Name = Annotated[str, typer.Argument(help="A model as `mlx-spec models list` names it.")]
Endpoint = Annotated[str | None, typer.Option(help="Another Hub to ask, for this time.", envvar="HF_ENDPOINT")]
MODEL = "A pair's name, a folder, a .gguf file or a Hub id."
"""What most of them take for a model."""
