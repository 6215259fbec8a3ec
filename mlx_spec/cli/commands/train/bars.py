"""What the training commands show while they run, on stderr."""

import sys

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from mlx_spec.training.distill import Watcher
from mlx_spec.training.eagle import EagleWatcher
from mlx_spec.training.evaluate import Agreement
from mlx_spec.training.heads.chains import ChainAgreement
from mlx_spec.training.progress import Progress


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

    def checked(self, progress: Progress, agreement: Agreement) -> None:
        """A line above the bars, which stays in a log too."""
        self._bar.console.print(
            f"{progress.share:.0%}, step {progress.step}, {progress.tokens:,} answer tokens: held-out top-1 "
            f"{agreement.top1}, Σ min(p, q) at temperature 1 {agreement.overlap[1.0]}, KL {agreement.divergence}",
            soft_wrap=True,
        )

    def stepped(self, progress: Progress) -> None:
        """The share of the training time, with the agreement on the last batch."""
        text = f"Training, step {progress.step}, Σ min(p, q) {progress.overlap:.3f}"
        self._bar.update(self._task, description=text, total=1.0, completed=progress.share)


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


def bars() -> Bar:
    """Bars on stderr; into a file they come as lines."""
    return Bar(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=Console(file=sys.stderr))
