"""Many answers at once, each with exactly the words that it has alone.

A step does what the scheduler has planned: some step aside or come back, a prompt is read a little further, and all
answers that are written have a round in one pass of the target. Events come by request, in the order in which `stream`
tells those of one answer. Belongs to the thread that loaded the pair; `report` and `metrics` may be read from any.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Unpack

from mlx_spec.batching.admission import Refusal
from mlx_spec.batching.entry import Entry, Priority
from mlx_spec.batching.listing import Blocks, Listing, Rows, listing_of
from mlx_spec.batching.metrics import Metrics, Outcome, StepRecord
from mlx_spec.batching.reading_pace import ReadingPace
from mlx_spec.batching.scheduler import Scheduler
from mlx_spec.batching.seat import Seat, told_of
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.batching.step_plan import Reading, StepPlan
from mlx_spec.config import LOOKAHEAD_LIMIT, SamplingParams
from mlx_spec.decoder import SpeculativeDecoder, step
from mlx_spec.decoding.cache.blocks.lease import Lease
from mlx_spec.decoding.cache.chunks import prompt_passes
from mlx_spec.decoding.drafters.levels import Levels, together
from mlx_spec.decoding.request import AnswerOptions
from mlx_spec.decoding.steering import Steering
from mlx_spec.errors import BusyError, DeadlineError, LookaheadError, PromptError
from mlx_spec.events import AnswerFailed, Event, Preempted, Resumed, RoundFinished, Waiting
from mlx_spec.sampling.penalties import Penalties

Told = list[tuple[str, Event]]

logger = logging.getLogger(__name__)


class Batch:
    """Answers of one decoder under one scheduler; shares the decoder's pair, knowledge, prefixes and counters.

    While requests are under way the decoder's own `stream` is not to be used.
    """

    def __init__(
        self,
        decoder: SpeculativeDecoder,
        settings: BatchSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Chunks, blocks and the drafts' places are as the decoder has them, whatever the settings say. Raises
        ConfigError where a step of so few tokens has no room for a chunk."""
        self._decoder, self._clock = decoder, clock
        self._pool = decoder.pool()
        settings, passes = settings or BatchSettings(), prompt_passes()
        self.settings = replace(
            settings,
            chunk_tokens=passes.chunk,
            shorter_chunks=passes.shorter,
            joined_from=passes.joined_from,
            block_tokens=self._pool.block_tokens,
            # For a round and the one that is launched before it is told, however it is steered.
            draft_tokens=2 * LOOKAHEAD_LIMIT + 1,
        )
        self.scheduler = Scheduler(self.settings, self._pool.capacity)
        self.metrics = Metrics(self._pool.capacity)
        self._seats: dict[str, Seat] = {}
        self._block_bytes = decoder.block_bytes
        self._listing = self._listed()
        self._last: Told = []  # the last events of those who were cancelled
        self._told: Told = []  # in this step
        self._ended: dict[str, Outcome] = {}  # in this step
        self._pace = ReadingPace()

    @property
    def is_idle(self) -> bool:
        """Whether a step would do nothing."""
        return not self.scheduler.entries and not self._last

    @property
    def num_waiting(self) -> int:
        """Requests that were never let on."""
        return self.scheduler.waiting

    def report(self) -> dict[str, Any]:
        """What is under way and who waits, and all `metrics`, ready for JSON. From any thread."""
        return self._listing.report(self.metrics.snapshot())

    @property
    def leases(self) -> list[Lease]:
        """What each answer has of the pool, for checking."""
        every = [seat.answer.lease for seat in self._seats.values() if seat.is_begun]
        return [lease for lease in every if lease is not None]

    def add(
        self,
        request_id: str,
        prompt_ids: Sequence[int],
        params: SamplingParams | None = None,
        max_tokens: int = 256,
        *,
        priority: Priority = "normal",
        deadline_ms: float | None = None,
        steering: Steering | None = None,
        **options: Unpack[AnswerOptions],
    ) -> None:
        """Have a request wait for its answer, whose events come from `step`.

        `request_id` is new. `deadline_ms` counts from now, and is for the beginning of the answer. Everything else is
        as `SpeculativeDecoder.stream` takes it; an answer has at most as many tokens as the pool has room for. Raises
        what that raises, PromptError where the pool has no room for the prompt, BusyError where as many wait as may,
        and DeadlineError for a deadline that has passed.
        """
        request = self._decoder.request(prompt_ids, params, max_tokens, steered=steering is not None, **options)
        Penalties(request.params, self._decoder.vocab_size)  # what it refuses, it refuses now
        count, room = len(request.prompt_ids), self.scheduler.total_blocks * self.settings.block_tokens
        request = replace(request, max_tokens=min(request.max_tokens, max(1, room + 1 - count)))
        now_ms = self._now_ms()
        refused = self.scheduler.add(
            request_id,
            count,
            max(1, request.max_tokens),
            now_ms=now_ms,
            priority=priority,
            deadline_ms=deadline_ms,
            turns=request.turns,
        )
        if refused is not None:
            self.metrics.refused(refused)
            raise error_of(refused)
        self.metrics.arrived(request_id, now_ms)
        self._seats[request_id] = Seat(self._decoder, request, steering)
        self._listing = self._listed()

    def cancel(self, request_id: str) -> None:
        """End an answer wherever it is; its blocks are free when this returns, and its last event comes with the next
        step. Without effect on one that is over."""
        if self.scheduler.cancel(request_id) is None:
            return
        seat = self._seats.pop(request_id)
        try:
            told = seat.cancel()
        except Exception as error:
            logger.exception("A request that was cancelled failed.")
            told = [AnswerFailed(told_of(error))]
            seat.give_up()
        self._last += [(request_id, event) for event in told]
        self.metrics.ended(request_id, "cancelled")
        self._listing = self._listed()

    def step(self) -> Told:
        """Do one step for all; what each request is told. What fails is told to whom it concerns, and not raised."""
        self._told, self._last, self._ended = self._last, [], {}
        began_ms = self._now_ms()
        self._pace.pass_ms = self._decoder.stats().plain_step_ms or 0.0
        plan = self.scheduler.plan(now_ms=began_ms, reading_ms=self._pace.reading_ms, found_tokens=self._find)
        self.metrics.planned(plan, began_ms)
        self._change_places(plan)
        for seat in self._seats.values():
            seat.rows = Rows()
        self._read(plan)
        rounds, written = self._write(plan)
        self._finish(plan, written)
        self._record(plan, rounds, written, began_ms)
        return self._told

    def _change_places(self, plan: StepPlan) -> None:
        """Who is refused, who steps aside, who comes back and who begins; and all have the blocks that they need."""
        for refused in plan.refused:
            self._tell(refused.request_id, AnswerFailed(error_of(refused)))
            self._seats.pop(refused.request_id).give_up()
        for preempted in plan.preempted:
            with self._on_its_own(preempted.request_id) as seat:
                seat.step_aside(preempted.how)
                self._tell(preempted.request_id, Preempted(preempted.how))
        self._share_blocks(plan)
        ahead_of = self.scheduler.ahead()
        for entry in plan.entries:
            with self._on_its_own(entry.request_id) as seat:
                if entry.request_id in plan.resumed:
                    seat.resume()
                    self._tell(entry.request_id, Resumed())
                if entry.state == "writing":
                    self._tell(entry.request_id, *seat.read(entry.read_tokens, whole=True))
                if entry.state == "waiting" and seat.ahead != (ahead := ahead_of[entry.request_id]):
                    seat.ahead = ahead
                    self._tell(entry.request_id, Waiting(ahead))

    def _share_blocks(self, plan: StepPlan) -> None:
        """Have each answer hold the blocks that it was given; first those who give some back."""
        for entry in plan.entries:
            if entry.request_id in plan.admitted:
                with self._on_its_own(entry.request_id) as seat:
                    seat.let_on(self._lease(), min(self.settings.max_batch, len(plan.entries)))
        on = [(self._seats[entry.request_id], entry.blocks) for entry in plan.entries if entry.is_on]
        for seat, blocks in sorted(on, key=lambda one: one[1] - len(one[0].held_blocks)):
            seat.hold(blocks)

    def _read(self, plan: StepPlan) -> None:
        """Read prompts as far as was planned, together; but who begins as another does, behind that one."""
        left = list(plan.readings)
        while left:
            seats = [self._seats[reading.request_id] for reading in left]
            waits = [any(seat.waits_for(other) for other in seats[:at]) for at, seat in enumerate(seats)]
            now = [reading for reading, wait in zip(left, waits, strict=True) if not wait]
            left = [reading for reading, wait in zip(left, waits, strict=True) if wait]
            self._read_together(now, [self._seats[reading.request_id] for reading in left])

    def _read_together(self, readings: Sequence[Reading], later: Sequence[Seat]) -> None:
        began_ms = self._now_ms()
        try:
            together([self._reading(reading, later) for reading in readings])
        except Exception as error:  # noqa: BLE001 - of a pass over the rows of all; it is told
            for reading in readings:
                self._fail(reading.request_id, error)
        passes = max(sum(1 for _ in reading.passes(self.settings.passes)) for reading in readings)
        self._pace.observe(passes, sum(reading.rows for reading in readings), self._now_ms() - began_ms)

    def _reading(self, reading: Reading, later: Sequence[Seat]) -> Levels[None]:
        """Read one; those of `later` readings in this step, and those who wait, may begin alike."""
        with self._on_its_own(reading.request_id) as seat:
            told = yield from seat.reading(reading.stop, whole=reading.stop == reading.end)
            self._tell(reading.request_id, *told)
            seat.rows = Rows(read=reading.rows)
            if reading.stop == reading.end:
                seat.lend([*self._waiting_beside(reading.request_id), *later])

    def _write(self, plan: StepPlan) -> tuple[list[RoundFinished], dict[str, int]]:
        """A round of all answers that are written: what they told, and how many tokens each wrote."""
        blocks = {entry.request_id: entry.blocks for entry in plan.entries}
        writers = [(one.request_id, self._seats[one.request_id]) for one in plan.writings]
        writers = [(request_id, seat) for request_id, seat in writers if request_id not in self._ended]
        # Who was to have no tokens is done with the prompt.
        self._ended |= {request_id: "done" for request_id, seat in writers if seat.is_finished}
        writers = [(request_id, seat) for request_id, seat in writers if not seat.is_finished]
        rooms, rows = {one.request_id: one.room for one in plan.writings}, plan.draft_rows
        for request_id, seat in writers:
            places = blocks[request_id] * self.settings.block_tokens
            rows -= seat.prepare(min(rooms[request_id], rows), places)
        positions = [seat.answer.position for _, seat in writers]
        try:
            told = iter(step([seat.answer for _, seat in writers]) if writers else [])
        except Exception as error:
            if not isinstance(error, LookaheadError):  # else its sentence says all that there is to know
                logger.exception("A pass over the rows of %d answers failed.", len(writers))
            for request_id, _ in writers:
                self._fail(request_id, error)
            return [], {}
        rounds, written = [], {}
        for (request_id, seat), position in zip(writers, positions, strict=True):
            if seat.answer.failure is not None:
                self._fail(request_id, seat.answer.failure)
                continue
            rounds.append(next(told))
            seat.rows = Rows.of(rounds[-1])
            self._tell(request_id, rounds[-1], *seat.texts())
            written[request_id] = seat.answer.position - position
            if seat.answer.is_finished:
                self._ended[request_id] = "done"
        return rounds, written

    def _finish(self, plan: StepPlan, written: dict[str, int]) -> None:
        """Tell the scheduler what came of its plan; who is done has its last event, and leaves."""
        for entry in self.scheduler.finish(plan, written, self._ended):
            seat = self._seats.pop(entry.request_id)
            if self._ended[entry.request_id] == "done":
                self._tell(entry.request_id, seat.finish())
            else:
                seat.give_up()
            self.metrics.ended(entry.request_id, self._ended[entry.request_id])

    def _record(
        self, plan: StepPlan, rounds: Sequence[RoundFinished], written: dict[str, int], began_ms: float
    ) -> None:
        waiting, blocks = self.num_waiting, self.scheduler.total_blocks - self.scheduler.free_blocks
        now_ms = self._now_ms()
        record = StepRecord.of(plan.rows_read, rounds, began_ms, now_ms, waiting=waiting, blocks=blocks)
        self.metrics.stepped(record, written)
        self._listing = self._listed()

    def _listed(self) -> Listing:
        usage = self._pool.usage()
        blocks = Blocks(usage.total, usage.used, usage.shared, self._pool.block_tokens, self._block_bytes)
        had = {request_id: (seat.request.owner, seat.rows) for request_id, seat in self._seats.items()}
        return listing_of(self.settings, blocks, self.scheduler.entries, self.scheduler.ahead(), had)

    def _tell(self, request_id: str, *events: Event) -> None:
        self._told += [(request_id, event) for event in events]

    @contextmanager
    def _on_its_own(self, request_id: str) -> Iterator[Seat]:
        """What goes wrong in here, whatever it is, ends this answer and no other."""
        try:
            yield self._seats[request_id]
        except Exception as error:  # noqa: BLE001 - it is told
            self._fail(request_id, error)

    def _fail(self, request_id: str, error: Exception) -> None:
        """Tell an answer that it cannot go on; once."""
        if request_id in self._ended:
            return
        if not isinstance(error, LookaheadError):
            logger.error("An answer failed.", exc_info=error)
        self._ended[request_id] = "failed"
        self._tell(request_id, AnswerFailed(told_of(error)))

    def _find(self, entry: Entry) -> int:
        return self._seats[entry.request_id].find(self._waiting_beside(entry.request_id))

    def _waiting_beside(self, request_id: str) -> list[Seat]:
        waits = [entry for entry in self.scheduler.entries if entry.state == "waiting"]
        return [self._seats[entry.request_id] for entry in waits if entry.request_id != request_id]

    def _lease(self) -> Lease:
        prefixes = self._decoder.prefixes
        return prefixes.lease() if prefixes is not None else Lease(self._pool, lambda _: None)

    def _now_ms(self) -> float:
        return self._clock() * 1e3


def error_of(refused: Refusal) -> LookaheadError:
    """Why a request is not answered, as an error."""
    if refused.reason == "full":
        return BusyError(refused.message, refused.retry_after_s or 1)
    return DeadlineError(refused.message) if refused.reason == "expired" else PromptError(refused.message)
