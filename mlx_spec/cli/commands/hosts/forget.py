"""`mlx-spec hosts forget`: another machine's key is kept no longer."""

from typing import Annotated

import typer

from mlx_spec.errors import ConfigError


def forget(
    machine: Annotated[str, typer.Argument(help="Its name, or its fingerprint where two have one name.")],
) -> None:
    """Neither use a machine nor let it use this one any more; one that was refused may ask again."""
    from mlx_spec.hosts.finding.acquaintances import Acquaintances

    gone = Acquaintances().forget(machine)
    if not gone:
        raise ConfigError("machine", machine, "one that `mlx-spec hosts list` shows as joined, leading or refused")
    for one in gone:
        typer.echo(f"{one.name} ({one.fingerprint}) is forgotten.")
