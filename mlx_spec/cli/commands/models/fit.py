"""`mlx-spec models fit`: whether a draft fits a target."""

from dataclasses import asdict
from typing import Annotated

import typer

from mlx_spec.cli.commands.models.options import MODEL
from mlx_spec.cli.terminal.json_output import AsJson, write_json


def fit(
    target: Annotated[str, typer.Argument(help=MODEL)],
    draft: Annotated[str, typer.Argument(help=MODEL)],
    as_json: AsJson = False,
) -> None:
    """Say whether a draft fits a target, and why not; exit code 1 where it does not.

    Compares tokenizers and sizes, and loads no weights. A .gguf file and a model of the Hub are fetched or imported
    first.
    """
    from mlx_spec.cli.terminal.progress import StageProgress
    from mlx_spec.models.loading import fit_of

    with StageProgress() as progress:
        found = fit_of(target, draft, progress=progress.tell)
    if as_json:
        write_json({"fits": found.kind != "no"} | asdict(found))
    else:
        typer.echo(found.reason)
    if found.kind == "no":
        raise typer.Exit(1)
