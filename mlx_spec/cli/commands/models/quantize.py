"""`mlx-spec models quantize`: a model in 4 or 8 bits."""

from pathlib import Path
from typing import Annotated

import typer

from mlx_spec.cli.commands.models.options import MODEL
from mlx_spec.cli.terminal.json_output import AsJson, write_json


def quantize_model(
    model: Annotated[str, typer.Argument(help=MODEL)],
    bits: Annotated[int, typer.Option(help="Bits a weight, 4 or 8.")] = 4,
    group_size: Annotated[int, typer.Option(help="Weights that share a scale: 32, 64 or 128.")] = 64,
    out: Annotated[Path | None, typer.Option(help="Folder to write.", show_default="one in the data folder")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a model with 4 or 8 bits a weight, and say what that loses: measured on a few texts."""
    from mlx_spec.cli.terminal.progress import StageProgress
    from mlx_spec.models.quantising import quantize
    from mlx_spec.models.staging import human_bytes

    with StageProgress(quiet=as_json) as progress:
        done = quantize(model, bits, group_size=group_size, out=out, progress=progress.tell)
    if as_json:
        write_json(done.to_dict())
        return
    typer.echo(f"{done.name} is ready in {done.folder}.")
    typer.echo(f"Weights: {human_bytes(done.weights_bytes)} instead of {human_bytes(done.original_bytes)}.")
    typer.echo(
        f"Loss over {done.loss.tokens} tokens of prose and code: next-token distributions differ by"
        f" {done.loss.mean_kl:.3f} nats (mean KL), perplexity is {done.loss.perplexity_ratio:.3f} times the original's."
    )
