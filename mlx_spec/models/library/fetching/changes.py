"""The order of what changes: each change has a number, and wakes whoever waits for one."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Changes:
    """One lock and one order for a group of things. All methods are for any thread.

    The things change inside `making` only, and are read inside `reading`: so the same number is always the same state,
    and of two readings the one with the higher number is the later one, whichever arrives first.
    """

    def __init__(self) -> None:
        # Of an RLock: a change may consist of others.
        self._condition = threading.Condition(threading.RLock())
        self._number = 0
        self._listeners: list[Callable[[], object]] = []
        self._listening = threading.Lock()

    @contextmanager
    def making(self) -> Iterator[int]:
        """Hold the lock for a change, which gets the number that is given; who waits is woken at its end."""
        with self._condition:
            self._number += 1
            try:
                yield self._number
            finally:
                self._condition.notify_all()
                with self._listening:
                    for wake in self._listeners:
                        wake()

    @contextmanager
    def reading(self) -> Iterator[int]:
        """Hold the lock; the number of the last change is given."""
        with self._condition:
            yield self._number

    def wait_for(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait until a change makes `condition` true, None: for ever; whether it is. It is asked with the lock held."""
        with self._condition:
            return self._condition.wait_for(condition, timeout_s)

    @contextmanager
    def listening(self, wake: Callable[[], object]) -> Iterator[None]:
        """Call `wake` at every change, from whichever thread makes it: it must be quick, and wait for nothing. It is
        not called any more once the block was left."""
        with self._listening:
            self._listeners.append(wake)
        try:
            yield
        finally:
            with self._listening:
                self._listeners.remove(wake)
