"""`mlx-spec models login`: the access token of the Hub."""

import sys
from typing import Annotated

import typer


def login(
    forget: Annotated[bool, typer.Option("--forget", help="Remove the token from the keychain.")] = False,
) -> None:
    """Keep an access token of huggingface.co in the keychain; it is asked for, or read from a pipe."""
    from mlx_spec.models.library.access import forget_token, keep_token

    if forget:
        forget_token()
        typer.echo("The keychain holds no token any more.")
        return
    token = typer.prompt("Access token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    keep_token(token.strip())
    typer.echo("The token is in the keychain.")
