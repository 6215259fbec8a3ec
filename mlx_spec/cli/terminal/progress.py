"""Progress bars on stderr, for what takes longer than a moment."""

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from mlx_spec.events import Event, PrefillProgress

_SECONDS_BETWEEN_LINES: Final = 5.0


class StageProgress(AbstractContextManager["StageProgress"]):
    """A bar for each stage, on a line of its own; all are gone at the end. Only a terminal gets any: of the rest there
    would be an empty line in a file. What takes long may tell `lines` there: of each tenth of a stage, and of one that
    is over, but no more than one in some seconds."""

    def __init__(self, *, quiet: bool = False, lines: bool = False) -> None:
        console = Console(stderr=True)
        self._lines = console if lines and not console.is_terminal else None
        self._told: tuple[str, int] = "", -1
        self._told_at = -_SECONDS_BETWEEN_LINES
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
        if self._lines is not None:
            self._tell_line(self._lines, stage, int(fraction * 10 + 1e-9))
            return
        if not self._progress.live.is_started:
            self._progress.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=1.0)
        self._progress.update(self._tasks[stage], completed=fraction)

    def _tell_line(self, console: Console, stage: str, tenth: int) -> None:
        now = time.monotonic()
        if self._told != (stage, tenth) and (tenth == 10 or now - self._told_at >= _SECONDS_BETWEEN_LINES):
            self._told, self._told_at = (stage, tenth), now
            console.print(f"{datetime.now():%H:%M:%S} {stage}: {tenth * 10} %", highlight=False)

    def follow_prefill(self, events: Iterable[Event]) -> Iterable[Event]:
        """Pass events on, showing the prompt's progress until the answer begins."""
        for event in events:
            if isinstance(event, PrefillProgress):
                self.tell("reading the prompt", event.processed_tokens / event.total_tokens)
                if event.processed_tokens == event.total_tokens:
                    self._progress.stop()
            else:
                yield event
