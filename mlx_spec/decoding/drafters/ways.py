"""Which of several ways to draft, by what each lately brought for a forward pass of the draft."""

from collections.abc import Sequence
from typing import Final, Literal

Way = Literal["shared", "text"]
WAYS: Final[tuple[Way, ...]] = ("shared", "text")

_MEMORY: Final = 0.9  # a way is judged by its last ten or so proposals
_RETRY_EVERY: Final = 16  # the text may have changed; a try costs one round that accepts less


class Ways:
    """Chooses the way with the most accepted tokens per draft pass; each is tried first, and again now and then.

    A draft pass costs the same either way, so acceptance per pass is what to compare: text that is tokenised anew may
    be fewer tokens than passes. It follows counts, never the clock, so the same request drafts the same.
    """

    def __init__(self, ways: Sequence[Way]) -> None:
        self._accepted: dict[Way, float] = dict.fromkeys(ways, 0.0)
        self._passes: dict[Way, float] = dict.fromkeys(ways, 0.0)
        self._count = 0
        self._last: tuple[Way, int] | None = None

    def choose(self, passes: int) -> Way | None:
        """The way for a proposal of `passes` draft passes; None where there is no way at all."""
        if not self._passes:
            return None
        self._count += 1
        best = max(self._passes, key=self._rate)
        if len(self._passes) > 1 and self._count % _RETRY_EVERY == 0:
            best = next(way for way in self._passes if way != best)
        self._last = best, passes
        return best

    def observe(self, accepted: int) -> None:
        """Be told how many tokens of the last proposal stand; of no meaning in a round without one."""
        if self._last is not None:
            way, passes = self._last
            self._accepted[way] = _MEMORY * self._accepted[way] + accepted
            self._passes[way] = _MEMORY * self._passes[way] + passes
            self._last = None

    def _rate(self, way: Way) -> float:
        """Accepted tokens per pass; a way that was never tried comes first."""
        return self._accepted[way] / self._passes[way] if self._passes[way] else float("inf")
