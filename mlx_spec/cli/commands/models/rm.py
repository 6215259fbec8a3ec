"""`mlx-spec models rm`: deletes a model."""

from dataclasses import asdict
from typing import Annotated

import typer

from mlx_spec.cli.commands.models.options import Name
from mlx_spec.cli.terminal.json_output import AsJson, write_json


def rm(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a model; what other models share stays."""
    from mlx_spec.models.library.access import hub_access
    from mlx_spec.models.library.cache import remove
    from mlx_spec.models.staging import human_bytes

    access = hub_access()
    planned = remove(name, access, dry_run=True)
    if not yes:
        typer.confirm(f"Delete {name} and free {human_bytes(planned.freed_bytes)}?", abort=True, err=True)
    removed = remove(name, access)
    if as_json:
        write_json(asdict(removed))
    else:
        typer.echo(f"{name} is deleted; {human_bytes(removed.freed_bytes)} are free again.")
