"""How fast requests come on, for those who are told when to ask again."""

import math
from collections import deque
from typing import Final

# The usual time between so many; before there are two, this.
_PACED: Final = 17
_FIRST_MS: Final = 5_000.0


class Pace:
    """The usual time between two events of a kind, by the newest of them."""

    def __init__(self) -> None:
        self._times_ms: deque[float] = deque(maxlen=_PACED)

    def note(self, now_ms: float) -> None:
        """One more."""
        self._times_ms.append(now_ms)

    @property
    def interval_ms(self) -> float:
        """Between two."""
        times = self._times_ms
        return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else _FIRST_MS


def whole_seconds(interval_ms: float) -> int:
    """As `Retry-After` tells it: one at least."""
    return max(1, math.ceil(interval_ms / 1e3))
