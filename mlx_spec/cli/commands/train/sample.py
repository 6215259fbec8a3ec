"""`mlx-spec train sample`: the first stage of `draft` by itself."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from mlx_spec.cli.commands.train.bars import BarWatcher, bars
from mlx_spec.cli.commands.train.options import TrainerOption, named_trainer
from mlx_spec.cli.terminal.consent import with_target
from mlx_spec.models.folder import ModelFolder
from mlx_spec.training.distill import require_torch, sample_answers, with_options
from mlx_spec.training.recipe import Recipe
from mlx_spec.training.target import load_target

_RECIPE: Final = Recipe()


@with_target
def sample(
    target: ModelFolder,
    corpus: Annotated[Path, typer.Option(help="Where answers go: into the folder `seed-SEED` there.")],
    answers: Annotated[
        int, typer.Option(help="Answer tokens with this seed; those already there count.")
    ] = _RECIPE.answer_tokens,
    seed: Annotated[int, typer.Option(help="Seed of prompts and answers.")] = 0,
    weights: Annotated[
        str | None,
        typer.Option(
            "--temperature-weights",
            help="How often to answer at temperatures 0, 0.7 and 1, such as 0.7,0.15,0.15; default: about alike.",
        ),
    ] = None,
    trainer: TrainerOption = "mlx",
) -> None:
    """Sample answers only, the first stage of `draft`: processes with different seeds can share the work.

    May be stopped and started again: finished shards are kept.
    """
    kind = named_trainer(trainer)
    if kind == "torch":
        require_torch()
    recipe = _weighted(with_options(_RECIPE, answers, _RECIPE.minutes, seed), weights)
    with bars() as bar:
        count = sample_answers(recipe, load_target(target), corpus, kind, BarWatcher(bar, answers))
    typer.echo(f"{count:,} answer tokens in {corpus / f'seed-{seed}'}.")


def _weighted(recipe: Recipe, weights: str | None) -> Recipe:
    """The recipe with the temperatures' weights as they were typed. Raises typer.BadParameter."""
    try:
        given = tuple(float(weight) for weight in weights.split(",")) if weights else recipe.temperature_weights
        return replace(recipe, temperature_weights=given)
    except ValueError:
        heats = ", ".join(f"{heat:g}" for heat in recipe.temperatures)
        raise typer.BadParameter(
            f"{weights!r} is not a weight for each of the temperatures {heats}, such as 0.7,0.15,0.15.",
            param_hint="--temperature-weights",
        ) from None
