"""Counting: all answers together, which any thread may read, and one answer with what a plain step costs meanwhile."""

import statistics
import threading
from dataclasses import replace
from typing import Final

from mlx_spec.events import SpeculativeStats

# So many plain rounds of an answer are a better measure of a plain step than what its other passes say.
_ENOUGH_PLAIN_STEPS: Final = 8


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
        if name not in ("plain_step_ms", "lossless", "exactness", "nearest_tie")
    }
    exactness = "fast" if "fast" in (left.exactness, right.exactness) else left.exactness or right.exactness
    ties = [tie for tie in (left.nearest_tie, right.nearest_tie) if tie is not None]
    step = right.plain_step_ms if right.plain_step_ms is not None else left.plain_step_ms
    return SpeculativeStats(
        **sums,
        plain_step_ms=step,
        lossless=left.lossless and right.lossless,
        exactness=exactness,
        nearest_tie=min(ties, default=None),
    )


class AnswerTally:
    """Counts an answer's rounds, for itself and into the counters of all answers."""

    def __init__(self, everything: StatsCounter) -> None:
        self._everything, self._own = everything, StatsCounter()
        self._plain_ms: list[float] = []
        self._expected_ms: list[float] = []
        self.plain_step_ms: float | None = None
        """What a plain step is estimated to cost now; None where none was ever measured."""

    def read(self, prompt_tokens: int, cached_tokens: int) -> None:
        """Count a prompt that was read, `cached_tokens` of it by earlier answers."""
        change = SpeculativeStats(prompt_tokens=prompt_tokens, cached_tokens=cached_tokens)
        self._everything.add(change)
        self._own.add(change)

    def add(self, change: SpeculativeStats, expected_ms: float | None, *, shared: bool = False) -> None:
        """Count one round. `expected_ms` is what a plain step is taken to cost, of all answers that it was `shared`
        with."""
        # Only where a plain step was measured once: what a controller thinks without that is a guess.
        if (calibrated_ms := self._everything.snapshot().plain_step_ms) is not None:
            self.plain_step_ms = expected_ms or calibrated_ms
        if shared:
            tokens = change.total_tokens_generated
            change = replace(change, shared_tokens=tokens, shared_plain_time_ms=tokens * (self.plain_step_ms or 0.0))
        self._everything.add(change)
        self._own.add(change)
        if shared:
            return
        if change.target_forward_passes and change.draft_forward_passes == 0 and change.draft_tokens == 0:
            self._plain_ms.append(change.total_time_ms)
        if self.plain_step_ms is not None:
            self._expected_ms.append(self.plain_step_ms)

    def close(self) -> SpeculativeStats:
        """The answer's counters, with its own measure of a plain step, which the next answers begin with; of those that
        it had for itself."""
        step_ms = self._everything.snapshot().plain_step_ms
        if self._expected_ms:
            # The machine may be slower now than when it was calibrated, or the context longer: plain rounds of this
            # answer tell, else what its passes say of a plain one. So the figure is one with what was expected.
            enough = len(self._plain_ms) >= _ENOUGH_PLAIN_STEPS
            step_ms = statistics.median(self._plain_ms if enough else self._expected_ms)
            self._everything.add(SpeculativeStats(plain_step_ms=step_ms))
        return replace(self._own.snapshot(), plain_step_ms=step_ms)
