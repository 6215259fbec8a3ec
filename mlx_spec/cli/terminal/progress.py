"""Progress bars on stderr, for what takes longer than a moment."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from mlx_spec.events import Event, PrefillProgress


class StageProgress(AbstractContextManager["StageProgress"]):
    """A bar for each stage, on a line of its own; all are gone at the end. Only a terminal gets any: of the rest there
    would be an empty line in a file."""

    def __init__(self, *, quiet: bool = False) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def pause(self) -> None:
        """Leave the terminal to a question; the next `tell` shows the bars again."""
        self._progress.stop()

    def tell(self, stage: str, fraction: float) -> None:
        """Show that `stage` is done by `fraction` (0..1)."""
        if not self._progress.live.is_started:
            self._progress.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=1.0)
        self._progress.update(self._tasks[stage], completed=fraction)

    def follow_prefill(self, events: Iterable[Event]) -> Iterable[Event]:
        """Pass events on, showing the prompt's progress until the answer begins."""
        for event in events:
            if isinstance(event, PrefillProgress):
                self.tell("reading the prompt", event.processed_tokens / event.total_tokens)
                if event.processed_tokens == event.total_tokens:
                    self._progress.stop()
            else:
                yield event
