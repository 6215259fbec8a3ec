"""`mlx-spec models move`: the cache of all models, on another disk."""

from pathlib import Path
from typing import Annotated

import typer


def move(folder: Annotated[Path, typer.Argument(help="A new or empty folder, perhaps on another disk.")]) -> None:
    """Move the Hub's cache to another folder; a link stays, so that every tool still finds it."""
    from mlx_spec.models.library.access import hub_access
    from mlx_spec.models.library.cache import move_cache
    from mlx_spec.models.staging import human_bytes

    moved = move_cache(hub_access(), folder)
    typer.echo(f"The cache lies in {folder} now: {human_bytes(moved)}.")
