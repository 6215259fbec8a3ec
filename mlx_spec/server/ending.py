"""The one way in which a server's process ends: asked for by a signal or a thread, told to all that runs, and bounded.

Whoever asks only asks. A thread that was there before tells those who must stop, so that no signal handler takes a
lock; the main thread then comes to its end by itself. A pass, or a connection being made, cannot be interrupted: where
something holds the process longer than the limit, it is left with a line in the log.
"""

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

from mlx_spec.machine.interruption import SIGNALS

LIMIT_S: Final = 1.5
_OURS: Final = "ending"
# Threads that only wait for something to tell, and hold up nobody.
_WATCHERS: Final = (_OURS, "parent", "watchdog", "signs of life")

logger = logging.getLogger(__name__)


class Ending:
    """Calls each of `stops`, once, as soon as it is asked to; after `limit_s` more the process is left, with `code`."""

    def __init__(self, stops: Sequence[Callable[[], object]], limit_s: float) -> None:
        self._stops = stops
        self._limit_s = limit_s
        self.code = 0
        """What the process is left with where something holds it. Set before asking."""
        # A SimpleQueue, as its put may interrupt its own put: signal handlers call it.
        self._asked: queue.SimpleQueue[None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=_OURS, daemon=True).start()

    def ask(self) -> None:
        """End the process. From any thread and any signal handler, and as often as anybody likes."""
        self._asked.put(None)

    def listen(self) -> None:
        """Be asked by SIGINT, SIGTERM and SIGHUP until the process ends. On the main thread."""
        for number in SIGNALS:
            # Who is started with nohup outlives its terminal; a service in the background still hears SIGINT.
            if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.ask()

    def _run(self) -> None:
        self._asked.get()
        for stop in self._stops:
            stop()
        # The interpreter's end, which waits for threads, takes this one with it.
        time.sleep(self._limit_s)
        if self.code:  # who set it knows why
            leave_now(self.code)
        held_by = [thread.name for thread in threading.enumerate() if _holds(thread)]
        logger.warning(
            "Leaving without waiting for %s: not done after %.3g s, and nothing can interrupt it.",
            ", ".join(held_by) or "the main thread",
            self._limit_s,
        )
        leave_now(self.code)


def _holds(thread: threading.Thread) -> bool:
    watches = thread.name in _WATCHERS or thread.name.startswith("rank ")  # of the control channel
    return thread is not threading.main_thread() and not watches


def leave_now(code: int) -> None:
    """The last resort: end the process without the interpreter's own end, which would wait or crash."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code)
