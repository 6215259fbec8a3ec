"""How long reading takes: a pass takes as long as one over a single row, and something for each row that it reads."""

import math
from collections import deque
from typing import Final

_LAST: Final = 4
"""Of so many readings the fastest counts: what else a time holds is a graph that was built, or somebody else's. Few, as
the further a text is read, the longer takes each of its passes."""


class ReadingPace:
    """Learns from what was read. What a pass over a single row takes is `pass_ms`, or 0.0 where that is not known."""

    def __init__(self) -> None:
        self.pass_ms = 0.0
        self._token_ms: deque[float] = deque(maxlen=_LAST)

    def observe(self, passes: int, rows: int, milliseconds: float) -> None:
        """So many passes have read so many rows, one at least."""
        self._token_ms.append(max(0.0, milliseconds - passes * self.pass_ms) / rows)

    def reading_ms(self, tokens: int) -> float:
        """What a pass over so many tokens takes; as long as none was read, more than there is time for."""
        return self.pass_ms + tokens * min(self._token_ms) if self._token_ms else math.inf
