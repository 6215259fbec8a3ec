"""`mlx-spec train eagle`: an EAGLE-3 head."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Final

import typer

from mlx_spec.cli.commands.train.bars import EagleBar, bars
from mlx_spec.cli.commands.train.eagle_recipe import TapsOption, recipe_of
from mlx_spec.cli.commands.train.options import (
    AnswerTokens,
    HeadCorpus,
    HeadFolder,
    Minutes,
    ResultAsJson,
    Seed,
    TrainerOption,
    corpus_folder,
    named_trainer,
)
from mlx_spec.cli.terminal.consent import with_target
from mlx_spec.models.folder import ModelFolder
from mlx_spec.training.eagle import EagleResult, train_eagle
from mlx_spec.training.heads.recipe import EagleRecipe

_RECIPE: Final = EagleRecipe()


@with_target
def eagle(
    target: ModelFolder,
    out: HeadFolder,
    corpus: HeadCorpus = None,
    answers: AnswerTokens = _RECIPE.answer_tokens,
    minutes: Minutes = _RECIPE.minutes,
    trainer: TrainerOption = "mlx",
    taps: TapsOption = None,
    draft_tokens: Annotated[
        int, typer.Option(help="Tokens that the head can draft: the most frequent in the answers.")
    ] = _RECIPE.draft_tokens,
    only_ready: Annotated[
        bool, typer.Option(help="Learn from the dialogues whose states are there; `train states` computes them beside.")
    ] = False,
    seed: Seed = 0,
    start: Annotated[
        Path | None,
        typer.Option(help="Go on from the EAGLE-3 head in this folder: its tokens and layers stay, rates are halved."),
    ] = None,
    as_json: ResultAsJson = False,
) -> None:
    """Train an EAGLE-3 head: it reads the target's hidden states and drafts what comes next.

    May be stopped and started again, while sampling and while training: it goes on from the last check.
    """
    kind = named_trainer(trainer)
    if start and (taps or draft_tokens != _RECIPE.draft_tokens):
        raise typer.BadParameter(
            "The head to go on from has its own layers and tokens: leave out --taps and --draft-tokens.",
            param_hint="--start",
        )
    recipe = recipe_of(seed, taps, draft_tokens)
    recipe = replace(recipe, answer_tokens=answers, minutes=minutes, only_ready=only_ready)
    folder = corpus_folder(corpus, out)
    with bars() as bar:
        result = train_eagle(recipe, target, out, folder, kind, EagleBar(bar, answers), start)
    _show(result, out, as_json)


def _show(result: EagleResult, out: Path, as_json: bool) -> None:
    """For a machine, or in a few lines."""
    if as_json:
        typer.echo(json.dumps({"head": str(out), **asdict(result)}))
        return
    size = f"{result.size_bytes / 1e6:.1f} MB"
    typer.echo(f"Head in {out}, {size}, from {result.training_answers:,} answer tokens.")
    typer.echo(
        f"Held out, {result.exported.answers:,} tokens of {result.exported.dialogues} answers: {result.exported}."
    )
    typer.echo(f"Before quantising: {result.trained}.")
