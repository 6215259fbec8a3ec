"""A batch of scripted answers: the real scheduler, with the model replaced by what a ScriptedDecoder says."""

import time
from collections.abc import Iterator
from typing import Any

from mlx_spec.batching.entry import Priority
from mlx_spec.batching.listing import Blocks, Rows, listing_of
from mlx_spec.batching.metrics import Metrics
from mlx_spec.batching.scheduler import Scheduler
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.errors import BusyError, DeadlineError, LookaheadError, PromptError
from mlx_spec.events import (
    AnswerFailed,
    Event,
    GenerationFinished,
    Preempted,
    PrefillProgress,
    Resumed,
    RoundFinished,
    TextDelta,
    Waiting,
)
from mlx_spec.server.engine.served import Batch, Decoder
from mlx_spec.server.engine.thread import usual_batch
from tests.server.scripted import ScriptedDecoder

Told = list[tuple[str, Event]]
_BLOCKS = 1 << 20


def any_batch(decoder: Decoder, settings: BatchSettings) -> Batch:
    """The batch that suits a decoder."""
    if isinstance(decoder, ScriptedDecoder):
        return ScriptedBatch(decoder, settings)
    return usual_batch(decoder, settings)


class ScriptedBatch:
    """As `mlx_spec.batching.batch.Batch`. Its decoder's `step_error` is raised by a whole step, its `blocks` are the
    pool."""

    def __init__(self, decoder: ScriptedDecoder, settings: BatchSettings) -> None:
        self._decoder = decoder
        self.scheduler = Scheduler(settings, decoder.blocks or _BLOCKS)
        self.metrics = Metrics(self.scheduler.total_blocks)
        self._scripts: dict[str, Iterator[Event]] = {}
        self._rest: dict[str, list[Event]] = {}
        self._cancelled: set[str] = set()
        self._ahead: dict[str, int] = {}
        self._owners: dict[str, str | None] = {}
        self._rows: dict[str, Rows] = {}

    def add(
        self,
        request_id: str,
        prompt_ids: list[int],
        params: Any,
        max_tokens: int,
        *,
        priority: Priority,
        deadline_ms: float | None,
        **told: Any,
    ) -> None:
        """As Batch.add."""
        script = self._decoder.stream(
            prompt_ids, params, max_tokens=max_tokens, should_cancel=lambda: request_id in self._cancelled, **told
        )
        refused = self.scheduler.add(
            request_id, len(prompt_ids), max_tokens, now_ms=_now_ms(), priority=priority, deadline_ms=deadline_ms
        )
        if refused is not None:
            match refused.reason:
                case "full":
                    raise BusyError(refused.message, refused.retry_after_s or 1)
                case "expired":
                    raise DeadlineError(refused.message)
                case "too_large":
                    raise PromptError(refused.message)
        self.metrics.arrived(request_id, _now_ms())
        self._owners[request_id] = told["owner"]
        self._scripts[request_id] = script

    def step(self) -> Told:
        """As Batch.step."""
        if self._decoder.step_error is not None:
            error, self._decoder.step_error = self._decoder.step_error, None
            raise error
        told: Told = []
        for request_id in sorted(self._cancelled & self._scripts.keys()):
            told += [(request_id, event) for event in self._scripts.pop(request_id) if _is_end(event)]
        self._cancelled.clear()
        plan = self.scheduler.plan(now_ms=_now_ms())
        self.metrics.planned(plan, _now_ms())
        for refused in plan.refused:
            self._scripts.pop(refused.request_id)
            told.append((refused.request_id, AnswerFailed(DeadlineError(refused.message))))
        told += [(preempted.request_id, Preempted(preempted.how)) for preempted in plan.preempted]
        told += [(request_id, Resumed()) for request_id in plan.resumed]
        for reading in plan.readings:
            told.append((reading.request_id, PrefillProgress(reading.stop, reading.end + 1, 1.0)))
        written, ended = {}, set()
        for writing in plan.writings:
            events = self._round(writing.request_id)
            told += [(writing.request_id, event) for event in events]
            for event in events:
                if isinstance(event, RoundFinished):
                    self._rows[writing.request_id] = Rows.of(event)
            written[writing.request_id] = sum(isinstance(event, RoundFinished) for event in events)
            if any(_is_end(event) for event in events):
                ended.add(writing.request_id)
        done = self.scheduler.finish(plan, written, ended)
        for entry in done:
            script = self._scripts.pop(entry.request_id)
            told += [(entry.request_id, event) for event in script if _is_end(event)]
            self.metrics.ended(entry.request_id, "done")
        return [*told, *self._waiting()]

    def report(self) -> dict[str, Any]:
        """As Batch.report."""
        settings, entries = self.scheduler.settings, self.scheduler.entries
        blocks = Blocks(self.scheduler.total_blocks, 0, 0, settings.block_tokens, 1)
        ids = [one.request_id for one in entries]
        had = {request_id: (self._owners[request_id], self._rows.get(request_id, Rows())) for request_id in ids}
        return listing_of(settings, blocks, entries, self.scheduler.ahead(), had).report(self.metrics.snapshot())

    def cancel(self, request_id: str) -> None:
        """As Batch.cancel."""
        if self.scheduler.cancel(request_id) is not None:
            self._cancelled.add(request_id)

    @property
    def is_idle(self) -> bool:
        """As Batch.is_idle."""
        return not self._scripts

    def _round(self, request_id: str) -> list[Event]:
        """What the script says next: a round with its text, or how it ends."""
        events: list[Event] = []
        try:
            for event in self._scripts[request_id]:
                events.append(event)
                is_silent = isinstance(event, RoundFinished) and not any(token.text for token in event.emitted)
                told = is_silent or isinstance(event, TextDelta)
                if _is_end(event) or (told and any(isinstance(one, RoundFinished) for one in events)):
                    break
        except Exception as error:  # noqa: BLE001 - it is told
            words = f"The answer could not go on, as the engine failed ({type(error).__name__}: {error}): ask again."
            events.append(AnswerFailed(error if isinstance(error, LookaheadError) else LookaheadError(words)))
        return [event for event in events if not isinstance(event, PrefillProgress)]

    def _waiting(self) -> Told:
        ahead_of = self.scheduler.ahead()
        ahead = {
            entry.request_id: ahead_of[entry.request_id] for entry in self.scheduler.entries if entry.state == "waiting"
        }
        new = {request_id: count for request_id, count in ahead.items() if self._ahead.get(request_id) != count}
        self._ahead = ahead
        return [(request_id, Waiting(count)) for request_id, count in new.items()]


def _is_end(event: Event) -> bool:
    return isinstance(event, GenerationFinished | AnswerFailed)


def _now_ms() -> float:
    return time.monotonic() * 1e3
