"""`mlx-spec models verify`: whether a model's bytes are right."""

from dataclasses import asdict

import typer

from mlx_spec.cli.commands.models.options import Name
from mlx_spec.cli.terminal.json_output import AsJson, write_json


def verify(name: Name, as_json: AsJson = False) -> None:
    """Compare every byte of a model with its checksums; exit code 1 where one differs."""
    from mlx_spec.models.library.access import hub_access
    from mlx_spec.models.library.cache import verify as check

    found = check(name, hub_access())
    if as_json:
        write_json(asdict(found))
    elif found.wrong:
        typer.echo(
            f"{name}: {', '.join(found.wrong)} differ from their checksums; `mlx-spec models rm` and pull again."
        )
    else:
        typer.echo(f"{name}: all {found.checked} files are right.")
    if found.wrong:
        raise typer.Exit(1)
