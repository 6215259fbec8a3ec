"""Noticing that the program which started this process is gone, however it went: nobody wants the work any more."""

import threading
import time
from collections.abc import Callable
from typing import Final

PARENT_VARIABLE: Final = "LOOKAHEAD_PARENT_PID"
"""Names the process whose end ends a command, too."""

_POLL_S: Final = 1.0


def watch_parent(parent_pid: int, gone: Callable[[], object]) -> None:
    """Call `gone` from a thread of its own once the process `parent_pid` is no more."""
    threading.Thread(target=_watch, args=(parent_pid, gone), name="parent", daemon=True).start()


def _watch(parent_pid: int, gone: Callable[[], object]) -> None:
    import psutil  # here, as commands that nobody started for himself need none of it

    try:
        parent = psutil.Process(parent_pid)
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_POLL_S)
    except psutil.NoSuchProcess:
        pass
    gone()
