"""How long reading takes: a pass takes as long as one over a single row, and something for each row that it reads."""

import math
from typing import Final

_NEWEST: Final = 0.5
"""What the newest reading counts for."""


class ReadingPace:
    """Learns from what was read. What a pass over a single row takes is `pass_ms`, or 0.0 where that is not known."""

    def __init__(self) -> None:
        self.pass_ms = 0.0
        self._token_ms: float | None = None

    def observe(self, passes: int, rows: int, milliseconds: float) -> None:
        """So many passes have read so many rows, one at least."""
        token_ms = max(0.0, milliseconds - passes * self.pass_ms) / rows
        self._token_ms = token_ms if self._token_ms is None else self._token_ms + _NEWEST * (token_ms - self._token_ms)

    def reading_ms(self, tokens: int) -> float:
        """What a pass over so many tokens takes; as long as none was read, more than there is time for."""
        return math.inf if self._token_ms is None else self.pass_ms + tokens * self._token_ms
