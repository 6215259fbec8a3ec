"""`mlx-spec models mirror`: which Hub is asked."""

from typing import Annotated

import typer


def mirror(
    address: Annotated[str, typer.Argument(help="Address of a mirror of the Hub, or `none` for huggingface.co.")],
) -> None:
    """Ask another Hub than huggingface.co from now on."""
    from mlx_spec.models.library.access import set_mirror

    set_mirror(None if address == "none" else address)
    typer.echo("huggingface.co is asked again." if address == "none" else f"{address} is asked from now on.")
