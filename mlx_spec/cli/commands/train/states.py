"""`mlx-spec train states`: a stage of `eagle` by itself."""

import typer

from mlx_spec.cli.commands.train.bars import EagleBar, bars
from mlx_spec.cli.commands.train.eagle_recipe import TapsOption, recipe_of
from mlx_spec.cli.commands.train.options import (
    HeadCorpus,
    HeadFolder,
    TrainerOption,
    corpus_folder,
    named_trainer,
)
from mlx_spec.cli.terminal.consent import with_target
from mlx_spec.models.folder import ModelFolder
from mlx_spec.training.eagle import compute_states
from mlx_spec.training.heads.recipe import EagleRecipe


@with_target
def states(
    target: ModelFolder,
    out: HeadFolder,
    corpus: HeadCorpus = None,
    trainer: TrainerOption = "mlx",
    taps: TapsOption = None,
) -> None:
    """Compute the target's hidden states for `train eagle`, before it or beside it (`--only-ready`)."""
    folder = corpus_folder(corpus, out)
    with bars() as bar:
        watcher = EagleBar(bar, 0)
        count = compute_states(
            recipe_of(0, taps, EagleRecipe().draft_tokens), target, out, folder, named_trainer(trainer), watcher
        )
    typer.echo(f"The states of {count:,} dialogues are in {out.name}-features.")
