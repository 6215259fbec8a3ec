"""`mlx-spec train draft`: distils a draft model."""

import json
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from mlx_spec.cli.commands.train.agreement import numbers
from mlx_spec.cli.commands.train.bars import BarWatcher, bars
from mlx_spec.cli.commands.train.options import (
    AnswerTokens,
    Minutes,
    ResultAsJson,
    Seed,
    TrainerOption,
    corpus_folder,
    named_trainer,
)
from mlx_spec.cli.terminal.consent import with_target
from mlx_spec.models.folder import ModelFolder
from mlx_spec.training.distill import Result, distil, with_options
from mlx_spec.training.recipe import Recipe

_RECIPE: Final = Recipe()


@with_target
def draft(
    target: ModelFolder,
    out: Annotated[Path, typer.Option(help="Where the draft goes.")],
    corpus: Annotated[
        Path | None, typer.Option(help="Where sampled answers are kept; default: `OUT-corpus` beside the draft.")
    ] = None,
    answers: AnswerTokens = _RECIPE.answer_tokens,
    minutes: Minutes = _RECIPE.minutes,
    trainer: TrainerOption = "mlx",
    seed: Seed = 0,
    start: Annotated[
        Path | None, typer.Option(help="Go on from this draft: its folder, or a .safetensors file of floats.")
    ] = None,
    as_json: ResultAsJson = False,
) -> None:
    """Distil a draft model: the target answers its own questions, and a small model learns to say the same.

    May be stopped while sampling and started again: finished shards are kept.
    """
    kind = named_trainer(trainer)
    recipe = with_options(_RECIPE, answers, minutes, seed)
    folder = corpus_folder(corpus, out)
    with bars() as bar:
        result = distil(recipe, target, out, folder, kind, BarWatcher(bar, answers), start)
    _show(result, out, as_json)


def _show(result: Result, out: Path, as_json: bool) -> None:
    """For a machine, or in a few lines."""
    if as_json:
        report = {
            "draft": str(out),
            "size_bytes": result.size_bytes,
            "training_answers": result.training_answers,
            "before": numbers(result.before),
            "after": numbers(result.after),
        }
        typer.echo(json.dumps(report))
        return
    console = Console()
    console.print(f"Draft in {out}, {result.size_bytes / 1e6:.1f} MB, from {result.training_answers:,} answer tokens.")
    console.print(f"Held-out top-1 agreement {result.before.top1} before training, {result.after.top1} after.")
    for heat, value in result.after.overlap.items():
        console.print(f"Held-out Σ min(p, q) at temperature {heat}: {value}.")
