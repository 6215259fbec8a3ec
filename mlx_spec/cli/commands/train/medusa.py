"""`mlx-spec train medusa`: Medusa heads."""

import json
from dataclasses import asdict
from typing import Annotated, Final

import typer

from mlx_spec.cli.commands.train.bars import BarWatcher, bars
from mlx_spec.cli.commands.train.options import (
    AnswerTokens,
    HeadCorpus,
    HeadFolder,
    Minutes,
    ResultAsJson,
    Seed,
    corpus_folder,
    named_trainer,
)
from mlx_spec.cli.terminal.consent import with_target
from mlx_spec.models.folder import ModelFolder
from mlx_spec.training.medusa import MedusaRecipe, train_medusa

_RECIPE: Final = MedusaRecipe()


@with_target
def medusa(
    target: ModelFolder,
    out: HeadFolder,
    corpus: HeadCorpus = None,
    answers: AnswerTokens = _RECIPE.answer_tokens,
    minutes: Minutes = _RECIPE.minutes,
    heads: Annotated[int, typer.Option(help="Tokens to guess ahead.")] = _RECIPE.heads,
    trainer: Annotated[
        str, typer.Option(help="What samples the answers: `mlx` or `torch`.", callback=named_trainer)
    ] = "mlx",
    seed: Seed = 0,
    as_json: ResultAsJson = False,
) -> None:
    """Train Medusa heads: each guesses one token ahead, all of them at once."""
    folder = corpus_folder(corpus, out)
    recipe = MedusaRecipe(seed=seed, answer_tokens=answers, minutes=minutes, heads=heads)
    with bars() as bar:
        result = train_medusa(recipe, target, out, folder, named_trainer(trainer), BarWatcher(bar, answers))
    if as_json:
        typer.echo(json.dumps({"heads": str(out), **asdict(result)}))
        return
    typer.echo(f"Heads in {out}, {result.size_bytes / 1e6:.1f} MB, from {result.training_answers:,} answer tokens.")
    before, after = (" ".join(f"{value:.3f}" for value in side.top1) for side in (result.before, result.after))
    typer.echo(f"Held-out top-1 agreement, one head after the other: {before} before training, {after} after.")
