"""`mlx-spec train …`: the command line of the recipe."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from mlx_spec.errors import ConfigError
from mlx_spec.training.distill import Result, Watcher, distil, with_options
from mlx_spec.training.evaluate import Agreement
from mlx_spec.training.progress import Progress
from mlx_spec.training.recipe import Recipe

app = typer.Typer(no_args_is_help=True, help="Make a draft model for a target of your own.")


class BarWatcher(Watcher):
    """Shows the stages of the recipe as bars on stderr."""

    def __init__(self, bar: Bar, answers: int) -> None:
        self._bar = bar
        self._answers = answers
        self._task = bar.add_task("Loading the target", total=None)

    def stage(self, name: str) -> None:
        """A new line for a new stage; the one before is done."""
        self._bar.update(self._task, total=1, completed=1)
        self._task = self._bar.add_task(name, total=None)

    def sampled(self, tokens: int) -> None:
        """Answer tokens against the goal."""
        self._bar.update(self._task, total=self._answers, completed=tokens)

    def stepped(self, progress: Progress) -> None:
        """The share of the training time, with the agreement on the last batch."""
        text = f"Training, step {progress.step}, Σ min(p, q) {progress.overlap:.3f}"
        self._bar.update(self._task, description=text, total=1.0, completed=progress.share)


def numbers(agreement: Agreement) -> dict[str, object]:
    """An agreement as plain numbers for `--json`."""
    return {
        "answers": agreement.answers,
        "dialogues": agreement.dialogues,
        "top1": [agreement.top1.mean, agreement.top1.error],
        "sum_min": {str(heat): [value.mean, value.error] for heat, value in agreement.overlap.items()},
        "kl": [agreement.divergence.mean, agreement.divergence.error],
    }


def show(result: Result, out: Path, as_json: bool) -> None:
    """Print the result: for a machine, or in a few lines."""
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


@app.command()
def draft(
    target: Annotated[Path, typer.Option(help="The target: a folder in mlx-lm's layout.")],
    out: Annotated[Path, typer.Option(help="Where the draft goes.")],
    corpus: Annotated[
        Path | None, typer.Option(help="Where sampled answers are kept; default: `OUT-corpus` beside the draft.")
    ] = None,
    answers: Annotated[
        int, typer.Option(help="Answer tokens to sample; those already there count.")
    ] = Recipe().answer_tokens,
    minutes: Annotated[float, typer.Option(help="Training time.")] = Recipe().minutes,
    trainer: Annotated[str, typer.Option(help="`mlx`, or `torch` for CPUs with bfloat16 matrix units.")] = "mlx",
    seed: Annotated[int, typer.Option(help="Seed of prompts, answers and batches.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Distil a draft model: the target answers its own questions, and a small model learns to say the same.

    May be stopped while sampling and started again: finished shards are kept.
    """
    if trainer not in ("mlx", "torch"):
        raise ConfigError("trainer", trainer, "mlx or torch")
    recipe = with_options(Recipe(), answers, minutes, seed)
    folder = corpus if corpus is not None else out.with_name(out.name + "-corpus")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(file=sys.stderr)) as bar:
        result = distil(recipe, target, out, folder, "torch" if trainer == "torch" else "mlx", BarWatcher(bar, answers))
    show(result, out, as_json)


@app.callback()
def main() -> None:
    """Keeps `draft` a command of its own, so that other recipes may stand beside it."""
