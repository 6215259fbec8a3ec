"""Counters of speculative decoding, and the immutable snapshot that other threads read."""

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpeculativeStats:
    """What speculation did and cost, since the counters were last reset.

    `draft_tokens` were proposed, `tested_tokens` reached the acceptance test (a token after a rejection never
    does), `accepted_tokens` passed. `lossless` is False once a lossy acceptance rule (`typical`) has judged a draft:
    from then on the words are not the target's own. Times are wall-clock milliseconds of the rounds, prompt processing
    excluded.
    """

    draft_tokens: int = 0
    tested_tokens: int = 0
    accepted_tokens: int = 0
    rounds: int = 0
    target_forward_passes: int = 0
    draft_forward_passes: int = 0
    total_tokens_generated: int = 0
    draft_time_ms: float = 0.0
    target_time_ms: float = 0.0
    total_time_ms: float = 0.0
    plain_step_ms: float | None = None
    lossless: bool = True

    @property
    def acceptance_rate(self) -> float:
        """Accepted / tested, 0 when nothing was tested."""
        return self.accepted_tokens / self.tested_tokens if self.tested_tokens else 0.0

    @property
    def mean_tokens_per_pass(self) -> float:
        """Tokens generated per forward pass of the target."""
        return self.total_tokens_generated / self.target_forward_passes if self.target_forward_passes else 0.0

    @property
    def mean_accepted_length(self) -> float:
        """Tokens emitted per round, the correction or bonus token included."""
        return self.total_tokens_generated / self.rounds if self.rounds else 0.0

    @property
    def target_passes_saved(self) -> int:
        """Target passes that plain decoding would have needed on top."""
        return max(0, self.total_tokens_generated - self.target_forward_passes)

    @property
    def tokens_per_second(self) -> float:
        """Tokens generated per second of rounds."""
        return self.total_tokens_generated * 1000.0 / self.total_time_ms if self.total_time_ms else 0.0

    @property
    def speedup(self) -> float | None:
        """Against a *calibrated* plain step; None where none was measured: never a guess."""
        if self.plain_step_ms is None or not self.total_time_ms:
            return None
        return self.total_tokens_generated * self.plain_step_ms / self.total_time_ms

    def to_dict(self) -> dict[str, float | int | None]:
        """Every counter and every derived rate, ready for JSON."""
        counters = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return counters | {
            "acceptance_rate": self.acceptance_rate,
            "mean_tokens_per_pass": self.mean_tokens_per_pass,
            "mean_accepted_length": self.mean_accepted_length,
            "target_passes_saved": self.target_passes_saved,
            "tokens_per_second": self.tokens_per_second,
            "speedup": self.speedup,
        }


class StatsCounter:
    """The one mutable place: `add` from the decoding thread, `snapshot` and `reset` from any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stats = SpeculativeStats()

    def add(self, change: SpeculativeStats) -> None:
        """Add the counters of `change`; its `plain_step_ms`, when set, replaces the calibrated one."""
        with self._lock:
            self._stats = _sum(self._stats, change)

    def snapshot(self) -> SpeculativeStats:
        """The counters of one instant."""
        with self._lock:
            return self._stats

    def reset(self) -> SpeculativeStats:
        """Set all counters to zero, keeping the calibration; returns what they were."""
        with self._lock:
            before = self._stats
            self._stats = SpeculativeStats(plain_step_ms=before.plain_step_ms)
            return before


def _sum(left: SpeculativeStats, right: SpeculativeStats) -> SpeculativeStats:
    sums = {
        name: getattr(left, name) + getattr(right, name)
        for name in SpeculativeStats.__dataclass_fields__
        if name not in ("plain_step_ms", "lossless")
    }
    step = right.plain_step_ms if right.plain_step_ms is not None else left.plain_step_ms
    return SpeculativeStats(**sums, plain_step_ms=step, lossless=left.lossless and right.lossless)
