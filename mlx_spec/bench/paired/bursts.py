"""A program of its own: busy for a second, idle for a second, in turns, until its input is closed.

That is also when whoever started it is gone, however that ended. It imports nothing of the engine.
"""

import select
import sys
import time
from collections.abc import Callable

BURST_S = 1.0


def take_turns(burst_s: float, closed_within: Callable[[float], bool], clock: Callable[[], float]) -> None:
    """Be busy for `burst_s`, then wait as long for the end, and again."""
    while True:
        until = clock() + burst_s
        while clock() < until:
            pass
        if closed_within(burst_s):
            return


def _input_closed_within(seconds: float) -> bool:
    return bool(select.select([sys.stdin], [], [], seconds)[0])


if __name__ == "__main__":
    sys.stdout.write("busy\n")
    sys.stdout.flush()
    take_turns(BURST_S, _input_closed_within, time.monotonic)
