"""Notices work that takes too long: a collective that waits for another machine has no limit of its own."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

TIMES_LONGEST: Final = 20
"""What once took long may take long again: as many times as long, on a machine that is busy."""
_TIMES_LONG: Final = 3
"""So many times what took long by itself; between the two, no longer than the first piece of all may take."""
_FORGETTING: Final = 0.9
"""Of what the longest took, so much is left with each piece behind it: one that stood still long ago says little."""
LIMIT_S: Final = 8.0
TIMES_UNSEEN: Final = 10
"""So many times the limit is for the first piece of all, of which nobody knows how long it takes."""
_TIMES_BY_ROW: Final = 2
_LOOK_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is under way, over how many rows, and since when."""

    kind: str
    rows: int
    begun_s: float

    @property
    def name(self) -> tuple[str, int]:
        """Pieces of the same name take about as long."""
        return self.kind, self.rows.bit_length()


class Watchdog:
    """Calls `overdue`, once, from a thread, with how long it has taken, when a piece of work takes longer than it may:
    `limit_s`, `TIMES_LONGEST` times what the longest like it has taken lately, within bounds, and what its rows let one
    expect.

    Work is what is done within `watching`. A `beat` within it says that one piece is done and the next begun, a pass
    over so many rows. Only one thread works.
    """

    def __init__(self, limit_s: float, overdue: Callable[[float], object]) -> None:
        self._limit_s, self._overdue = limit_s, overdue
        self._longest_s: dict[tuple[str, int], float] = {}
        self._slowest_row_s = 0.0
        # One value, so that a step takes no lock and wakes nobody.
        self._piece: _Piece | None = None
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextlib.contextmanager
    def watching(self, kind: str) -> Iterator[None]:
        """Watch the work within the block."""
        self._set(_Piece(kind, 1, time.monotonic()))
        try:
            yield
        finally:
            self._set(None)

    def beat(self, rows: int = 1) -> None:
        """The work goes on, with a piece of so many rows."""
        if self._piece is not None:
            self._set(_Piece(self._piece.kind, max(1, rows), time.monotonic()))

    def close(self) -> None:
        """Watch no more."""
        self._over.set()

    def limit_s(self, kind: str, rows: int = 1) -> float:
        """How long such a piece may take now."""
        if not self._longest_s:
            return TIMES_UNSEEN * self._limit_s
        longest_s = self._longest_s.get(_Piece(kind, rows, 0.0).name, 0.0)
        by_rows_s = min(_TIMES_BY_ROW * rows * self._slowest_row_s, TIMES_UNSEEN * self._limit_s)
        by_longest_s = min(TIMES_LONGEST * longest_s, max(TIMES_UNSEEN * self._limit_s, _TIMES_LONG * longest_s))
        return self._limit_s + by_longest_s + by_rows_s

    def _set(self, piece: _Piece | None) -> None:
        if (before := self._piece) is not None:
            taken_s = time.monotonic() - before.begun_s
            self._longest_s[before.name] = max(_FORGETTING * self._longest_s.get(before.name, 0.0), taken_s)
            self._slowest_row_s = max(_FORGETTING * self._slowest_row_s, taken_s / before.rows)
        self._piece = piece

    def _watch(self) -> None:
        while not self._over.wait(min(_LOOK_S, self._limit_s / 4)):
            if (piece := self._piece) is None:
                continue
            if (taken_s := time.monotonic() - piece.begun_s) > self.limit_s(piece.kind, piece.rows):
                self._overdue(taken_s)
                return
