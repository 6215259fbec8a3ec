"""How fast bytes arrive, smoothed over the last seconds."""

import time
from collections import deque
from typing import Final

_WINDOW_S: Final = 8.0
_STEP_S: Final = 0.25


class SpeedMeter:
    """Fed with a growing number of bytes; tells bytes a second over the last eight seconds."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def update(self, done_bytes: int, now_s: float | None = None) -> None:
        """`done_bytes` have arrived by now."""
        now = time.monotonic() if now_s is None else now_s
        if self._marks and done_bytes < self._marks[-1][1]:
            self._marks.clear()  # a file began anew
        if not self._marks or now - self._marks[-1][0] >= _STEP_S:
            self._marks.append((now, done_bytes))
        while now - self._marks[0][0] > _WINDOW_S:
            self._marks.popleft()

    def bytes_per_second(self, done_bytes: int, now_s: float | None = None) -> float | None:
        """The speed up to now, None before there is any to tell."""
        now = time.monotonic() if now_s is None else now_s
        while self._marks and now - self._marks[0][0] > _WINDOW_S:
            self._marks.popleft()
        if not self._marks or now - self._marks[0][0] < _STEP_S:
            return None
        begun_s, begun_bytes = self._marks[0]
        return max(0, done_bytes - begun_bytes) / (now - begun_s)
