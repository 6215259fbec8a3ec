"""`mlx-spec train eagle`, `train states` and `train medusa`: the command line of the recipes for heads."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress as Bar

from mlx_spec.cli.terminal.consent import check_target
from mlx_spec.cli.terminal.options import Anyway
from mlx_spec.cli.terminal.training_bars import BarWatcher, bars, named_trainer
from mlx_spec.training.heads.chains import ChainAgreement
from mlx_spec.training.heads.eagle import EagleResult, EagleWatcher, compute_states, train_eagle
from mlx_spec.training.heads.medusa import MedusaRecipe, train_medusa
from mlx_spec.training.heads.recipe import EagleRecipe
from mlx_spec.training.progress import Progress

TargetOption = Annotated[Path, typer.Option(help="The target: a folder in mlx-lm's layout.")]
OutOption = Annotated[Path, typer.Option(help="Where the head goes.")]
CorpusOption = Annotated[
    Path | None, typer.Option(help="Where sampled answers are kept; default: `OUT-corpus` beside the head.")
]
TrainerOption = Annotated[str, typer.Option(help="`mlx`, or `torch` for CPUs with bfloat16 matrix units.")]
TapsOption = Annotated[
    str | None, typer.Option(help="Layers to read, such as 1,14,26; default: near the start, the middle, near the end.")
]


class EagleBar(BarWatcher, EagleWatcher):
    """The stages as bars, and a line for each check."""

    def __init__(self, bar: Bar, answers: int) -> None:
        super().__init__(bar, answers)

    def reached(self, progress: Progress, reach: ChainAgreement) -> None:
        """A line above the bars, which stays in a log too."""
        self._bar.console.print(
            f"{progress.share:.0%}, step {progress.step}, {progress.tokens:,} answer tokens: held-out {reach}",
            soft_wrap=True,
        )


def eagle(
    target: TargetOption,
    out: OutOption,
    corpus: CorpusOption = None,
    answers: Annotated[
        int, typer.Option(help="Answer tokens to sample; those already there count.")
    ] = EagleRecipe().answer_tokens,
    minutes: Annotated[float, typer.Option(help="Training time.")] = EagleRecipe().minutes,
    trainer: TrainerOption = "mlx",
    taps: TapsOption = None,
    draft_tokens: Annotated[
        int, typer.Option(help="Tokens that the head can draft: the most frequent in the answers.")
    ] = EagleRecipe().draft_tokens,
    only_ready: Annotated[
        bool, typer.Option(help="Learn from the dialogues whose states are there; `train states` computes them beside.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of prompts, answers and batches.")] = 0,
    start: Annotated[
        Path | None,
        typer.Option(help="Go on from the EAGLE-3 head in this folder: its tokens and layers stay, rates are halved."),
    ] = None,
    anyway: Anyway = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Train an EAGLE-3 head: it reads the target's hidden states and drafts what comes next.

    May be stopped and started again, while sampling and while training: it goes on from the last check.
    """
    kind = named_trainer(trainer)
    check_target(target, anyway=anyway)
    if start and (taps or draft_tokens != EagleRecipe().draft_tokens):
        raise typer.BadParameter(
            "The head to go on from has its own layers and tokens: leave out --taps and --draft-tokens.",
            param_hint="--start",
        )
    recipe = recipe_of(seed, taps, draft_tokens)
    recipe = replace(recipe, answer_tokens=answers, minutes=minutes, only_ready=only_ready)
    folder = corpus if corpus is not None else out.with_name(out.name + "-corpus")
    with bars() as bar:
        result = train_eagle(recipe, target, out, folder, kind, EagleBar(bar, answers), start)
    show(result, out, as_json)


def states(
    target: TargetOption,
    out: OutOption,
    corpus: CorpusOption = None,
    trainer: TrainerOption = "mlx",
    taps: TapsOption = None,
    anyway: Anyway = False,
) -> None:
    """Compute the target's hidden states for `train eagle`, before it or beside it (`--only-ready`)."""
    check_target(target, anyway=anyway)
    folder = corpus if corpus is not None else out.with_name(out.name + "-corpus")
    with bars() as bar:
        watcher = EagleBar(bar, 0)
        count = compute_states(
            recipe_of(0, taps, EagleRecipe().draft_tokens), target, out, folder, named_trainer(trainer), watcher
        )
    typer.echo(f"The states of {count:,} dialogues are in {out.name}-features.")


def recipe_of(seed: int, taps: str | None, draft_tokens: int) -> EagleRecipe:
    """The recipe with what both commands need. Raises typer.BadParameter for layers that are no numbers."""
    try:
        layers = tuple(int(layer) for layer in taps.split(",")) if taps else ()
    except ValueError:
        raise typer.BadParameter(
            f"{taps!r} is no list of layer numbers such as 1,14,26.", param_hint="--taps"
        ) from None
    return EagleRecipe(seed=seed, taps=layers, draft_tokens=draft_tokens)


def show(result: EagleResult, out: Path, as_json: bool) -> None:
    """Print the result: for a machine, or in a few lines."""
    if as_json:
        typer.echo(json.dumps({"head": str(out), **asdict(result)}))
        return
    size = f"{result.size_bytes / 1e6:.1f} MB"
    typer.echo(f"Head in {out}, {size}, from {result.training_answers:,} answer tokens.")
    typer.echo(
        f"Held out, {result.exported.answers:,} tokens of {result.exported.dialogues} answers: {result.exported}."
    )
    typer.echo(f"Before quantising: {result.trained}.")


def medusa(
    target: TargetOption,
    out: OutOption,
    corpus: CorpusOption = None,
    answers: Annotated[
        int, typer.Option(help="Answer tokens to sample; those already there count.")
    ] = MedusaRecipe().answer_tokens,
    minutes: Annotated[float, typer.Option(help="Training time.")] = MedusaRecipe().minutes,
    heads: Annotated[int, typer.Option(help="Tokens to guess ahead.")] = MedusaRecipe().heads,
    trainer: Annotated[str, typer.Option(help="What samples the answers: `mlx` or `torch`.")] = "mlx",
    seed: Annotated[int, typer.Option(help="Seed of prompts, answers and batches.")] = 0,
    anyway: Anyway = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Train Medusa heads: each guesses one token ahead, all of them at once."""
    check_target(target, anyway=anyway)
    folder = corpus if corpus is not None else out.with_name(out.name + "-corpus")
    recipe = MedusaRecipe(seed=seed, answer_tokens=answers, minutes=minutes, heads=heads)
    with bars() as bar:
        result = train_medusa(recipe, target, out, folder, named_trainer(trainer), BarWatcher(bar, answers))
    if as_json:
        typer.echo(json.dumps({"heads": str(out), **asdict(result)}))
        return
    typer.echo(f"Heads in {out}, {result.size_bytes / 1e6:.1f} MB, from {result.training_answers:,} answer tokens.")
    before, after = (" ".join(f"{value:.3f}" for value in side.top1) for side in (result.before, result.after))
    typer.echo(f"Held-out top-1 agreement, one head after the other: {before} before training, {after} after.")
