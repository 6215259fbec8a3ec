"""Notices work that takes too long: a collective that waits for another machine has no limit of its own."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

TIMES_LONGEST: Final = 20
"""What once took long may take long again: as many times as long, on a machine that is busy."""
LIMIT_S: Final = 8.0
_LOOK_S: Final = 0.5


class Watchdog:
    """Calls `overdue`, once, from a thread, with how long it has taken, when work takes longer than `limit_s` and
    `TIMES_LONGEST` times what the longest of its kind has taken.

    Work is what is done within `watching`. A `beat` within it says that one piece of it is done and the next begun:
    each is work of its own. Only one thread works.
    """

    def __init__(self, limit_s: float, overdue: Callable[[float], object]) -> None:
        self._limit_s, self._overdue = limit_s, overdue
        self._longest_s: dict[str, float] = {}
        # What is under way, and since when: one value, so that a step takes no lock and wakes nobody.
        self._work: tuple[str, float] | None = None
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextlib.contextmanager
    def watching(self, kind: str) -> Iterator[None]:
        """Watch the work within the block."""
        self._set(kind)
        try:
            yield
        finally:
            self._set(None)

    def beat(self) -> None:
        """The work goes on: counted from now."""
        if self._work is not None:
            self._set(self._work[0])

    def close(self) -> None:
        """Watch no more."""
        self._over.set()

    def limit_s(self, kind: str) -> float:
        """How long work of a kind may take now."""
        return self._limit_s + TIMES_LONGEST * self._longest_s.get(kind, 0.0)

    def _set(self, kind: str | None) -> None:
        now = time.monotonic()
        if self._work is not None:
            before, begun_s = self._work
            self._longest_s[before] = max(self._longest_s.get(before, 0.0), now - begun_s)
        self._work = None if kind is None else (kind, now)

    def _watch(self) -> None:
        while not self._over.wait(min(_LOOK_S, self._limit_s / 4)):
            if (work := self._work) is None:
                continue
            kind, begun_s = work
            if (taken_s := time.monotonic() - begun_s) > self.limit_s(kind):
                self._overdue(taken_s)
                return
