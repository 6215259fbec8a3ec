"""What became of steps and requests, as numbers: counters since the beginning, percentiles over the last of them.

Plain values; whoever serves exports them. The engine's thread observes, any thread may take a `snapshot`.
"""

import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from mlx_spec.batching.admission import Refusal
from mlx_spec.batching.entry import Entry
from mlx_spec.batching.step_plan import StepPlan
from mlx_spec.events import RoundFinished

Outcome = Literal["done", "cancelled", "failed", "full", "too_large", "expired"]
_WINDOW: Final = 1_000
_TOKENS_WINDOW: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step that was carried out, `at_ms` its end. `rows_written` are those of the target's pass over rounds, drafts
    included, and `tokens` what the rounds wrote. `drafts` holds for each round that drafted how many of its tokens were
    tested and how many accepted."""

    at_ms: float
    milliseconds: float
    rows_read: int
    rows_written: int
    tokens: int
    batch: int
    waiting: int
    blocks_used: int
    drafts: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(
        cls,
        rows_read: int,
        rounds: Sequence[RoundFinished],
        began_ms: float,
        at_ms: float,
        *,
        waiting: int,
        blocks: int,
    ) -> "StepRecord":
        """Of a step that read so many tokens, and made these rounds."""
        drafts = [one for one in rounds if one.drafted]
        return cls(
            at_ms=at_ms,
            milliseconds=at_ms - began_ms,
            rows_read=rows_read,
            rows_written=len(rounds) + sum(len(one.drafted) for one in rounds),
            tokens=sum(len(one.emitted) for one in rounds),
            batch=len(rounds),
            waiting=waiting,
            blocks_used=blocks,
            drafts=tuple(
                (sum(token.state != "untested" for token in one.drafted), one.accepted_count) for one in drafts
            ),
        )


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of the last `count` observations; None of none."""

    count: int
    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Percentiles":
        """Percentiles with linear interpolation between neighbours."""
        ordered = sorted(values)
        return cls(len(ordered), *(percentile(ordered, share) for share in (0.5, 0.95, 0.99)))


@dataclass(frozen=True, slots=True)
class Odds:
    """How many drafted tokens were tested, and how many of those accepted."""

    tested: int = 0
    accepted: int = 0

    @property
    def rate(self) -> float | None:
        """Accepted of tested; None of none."""
        return self.accepted / self.tested if self.tested else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSnapshot:
    """All numbers of one instant.

    Since the beginning: `steps`, `requests` by what became of them, `tokens` written and `tokens_read`, `preemptions`
    by how, `recomputed_tokens`, prompts and how much of them was found (`prompts`, `prefix_hits`, `prompt_tokens`,
    `cached_tokens`), acceptance `by_place` (from the first) and `by_batch` (by how many answers were written).
    Over the last steps: the rates a second of busy time, `mean_batch`, and the percentiles, all in milliseconds.
    `between_ms` is the time from token to token, `pause_ms` that from round to round: what a reader sees as standing
    still. As they are now: `batch`, `waiting`, `blocks_used` of `total_blocks`.
    """

    steps: int
    requests: Mapping[Outcome, int]
    under_way: int
    tokens: int
    tokens_read: int
    preemptions: Mapping[str, int]
    recomputed_tokens: int
    prompts: int
    prefix_hits: int
    prompt_tokens: int
    cached_tokens: int
    by_place: tuple[Odds, ...]
    by_batch: Mapping[int, Odds]
    tokens_per_s: float
    read_per_s: float
    mean_batch: float
    batch: int
    waiting: int
    blocks_used: int
    total_blocks: int
    step_ms: Percentiles
    queue_ms: Percentiles
    first_token_ms: Percentiles
    between_ms: Percentiles
    pause_ms: Percentiles


@dataclass(slots=True)
class _UnderWay:
    """A request that has arrived: when, and when its newest token was written."""

    arrived_ms: float
    newest_ms: float | None = None


@dataclass(slots=True)
class _Counters:
    """What is counted from the beginning."""

    steps: int = 0
    tokens: int = 0
    tokens_read: int = 0
    recomputed_tokens: int = 0
    prompts: int = 0
    prefix_hits: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    requests: Counter[Outcome] = field(default_factory=Counter)
    preemptions: Counter[str] = field(default_factory=Counter)
    by_place: list[list[int]] = field(default_factory=list)
    by_batch: dict[int, list[int]] = field(default_factory=dict)


class Metrics:
    """Observes what the engine does; `total_blocks` are those of its pool."""

    def __init__(self, total_blocks: int = 0, *, window: int = _WINDOW) -> None:
        self._lock = threading.Lock()
        self._total_blocks = total_blocks
        self._under_way: dict[str, _UnderWay] = {}
        self._sums = _Counters()
        self._steps: deque[StepRecord] = deque(maxlen=window)
        self._queue_ms: deque[float] = deque(maxlen=window)
        self._first_token_ms: deque[float] = deque(maxlen=window)
        self._between_ms: deque[float] = deque(maxlen=_TOKENS_WINDOW)
        self._pause_ms: deque[float] = deque(maxlen=_TOKENS_WINDOW)

    def arrived(self, request_id: str, now_ms: float) -> None:
        """A request was taken in."""
        with self._lock:
            self._under_way[request_id] = _UnderWay(now_ms)

    def refused(self, refused: Refusal) -> None:
        """A request was refused, at its arrival or by a plan."""
        self.ended(refused.request_id, refused.reason)

    def planned(self, plan: StepPlan, now_ms: float) -> None:
        """A step was planned: who was let on has waited until now. Of a prompt counts as found what is not read."""
        starts = {reading.request_id: reading.start for reading in plan.readings}
        with self._lock:
            for entry in plan.entries:
                if entry.request_id in plan.admitted:
                    self._let_on(entry, starts.get(entry.request_id, entry.read_tokens), now_ms)
            for preempted in plan.preempted:
                self._sums.preemptions[preempted.how] += 1
                self._sums.recomputed_tokens += preempted.lost_tokens
        for refused in plan.refused:
            self.refused(refused)

    def lost(self, tokens: int) -> None:
        """So much that was swapped out cannot be had back, and is read again."""
        with self._lock:
            self._sums.recomputed_tokens += tokens

    def stepped(self, record: StepRecord, written: Mapping[str, int]) -> None:
        """A step was carried out, and these answers got so many tokens by its end."""
        with self._lock:
            self._steps.append(record)
            self._sums.steps += 1
            self._sums.tokens += record.tokens
            self._sums.tokens_read += record.rows_read
            for tested, accepted in record.drafts:
                self._count_draft(record.batch, tested, accepted)
            for request_id, tokens in written.items():
                self._wrote(request_id, tokens, record.at_ms)

    def ended(self, request_id: str, outcome: Outcome) -> None:
        """A request is no longer under way."""
        with self._lock:
            self._under_way.pop(request_id, None)
            self._sums.requests[outcome] += 1

    def snapshot(self) -> MetricsSnapshot:
        """All numbers of this instant."""
        with self._lock:
            sums, last = self._sums, self._steps[-1] if self._steps else None
            busy_s = sum(step.milliseconds for step in self._steps) / 1000.0
            batches = [step.batch for step in self._steps if step.batch]
            return MetricsSnapshot(
                steps=sums.steps,
                requests=dict(sums.requests),
                under_way=len(self._under_way),
                tokens=sums.tokens,
                tokens_read=sums.tokens_read,
                preemptions=dict(sums.preemptions),
                recomputed_tokens=sums.recomputed_tokens,
                prompts=sums.prompts,
                prefix_hits=sums.prefix_hits,
                prompt_tokens=sums.prompt_tokens,
                cached_tokens=sums.cached_tokens,
                by_place=tuple(Odds(*place) for place in sums.by_place),
                by_batch={batch: Odds(*odds) for batch, odds in sorted(sums.by_batch.items())},
                tokens_per_s=sum(step.tokens for step in self._steps) / busy_s if busy_s else 0.0,
                read_per_s=sum(step.rows_read for step in self._steps) / busy_s if busy_s else 0.0,
                mean_batch=sum(batches) / len(batches) if batches else 0.0,
                batch=last.batch if last else 0,
                waiting=last.waiting if last else 0,
                blocks_used=last.blocks_used if last else 0,
                total_blocks=self._total_blocks,
                step_ms=Percentiles.of([step.milliseconds for step in self._steps]),
                queue_ms=Percentiles.of(self._queue_ms),
                first_token_ms=Percentiles.of(self._first_token_ms),
                between_ms=Percentiles.of(self._between_ms),
                pause_ms=Percentiles.of(self._pause_ms),
            )

    def _let_on(self, entry: Entry, found_tokens: int, now_ms: float) -> None:
        if (request := self._under_way.get(entry.request_id)) is not None:
            self._queue_ms.append(now_ms - request.arrived_ms)
        self._sums.prompts += 1
        self._sums.prefix_hits += found_tokens > 0
        self._sums.prompt_tokens += entry.prompt_tokens
        self._sums.cached_tokens += found_tokens

    def _wrote(self, request_id: str, tokens: int, now_ms: float) -> None:
        """A round wrote its tokens at once: each took its part of the time since the round before."""
        if tokens < 1 or (request := self._under_way.get(request_id)) is None:
            return
        if request.newest_ms is None:
            self._first_token_ms.append(now_ms - request.arrived_ms)
        else:
            pause_ms = now_ms - request.newest_ms
            self._pause_ms.append(pause_ms)
            self._between_ms.extend([pause_ms / tokens] * tokens)
        request.newest_ms = now_ms

    def _count_draft(self, batch: int, tested: int, accepted: int) -> None:
        """Place k was tested where all before it were accepted."""
        places, odds = self._sums.by_place, self._sums.by_batch.setdefault(batch, [0, 0])
        while len(places) < tested:
            places.append([0, 0])
        for place in range(tested):
            places[place][0] += 1
            places[place][1] += place < accepted
        odds[0] += tested
        odds[1] += accepted


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which so much of the sorted values lies, between neighbours in a straight line; None of none."""
    if not ordered:
        return None
    at = share * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])
