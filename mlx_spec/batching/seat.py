"""A request of a batch: its answer once it is let on, how it is read, and how it steps aside and comes back."""

import logging
import time
from collections.abc import Iterable
from dataclasses import replace

from mlx_spec.batching.listing import Rows
from mlx_spec.batching.settings import PreemptionName
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.cache.blocks.lease import Lease
from mlx_spec.decoding.cache.blocks.text import shared_length
from mlx_spec.decoding.drafters.levels import Ask, Levels, alone
from mlx_spec.decoding.prompt import Found, Reading, found_in, reading, reading_again
from mlx_spec.decoding.request import Request
from mlx_spec.decoding.round import Round
from mlx_spec.decoding.steering import Steering
from mlx_spec.errors import LookaheadError
from mlx_spec.events import Event, GenerationFinished, PrefillProgress, PromptScored, SpeculativeStats, TextDelta

logger = logging.getLogger(__name__)


class Seat:
    """One request, from its arrival to its last event. Its answer is made when it is let on: waiting takes nothing."""

    def __init__(self, decoder: SpeculativeDecoder, request: Request, steering: Steering | None) -> None:
        self.request = request
        self.failure: Exception | None = None
        """Why its answer cannot be made."""
        self.aside: PreemptionName | None = None
        """How it has stepped aside; None where it has not."""
        self.ahead: int | None = None
        """How many come before it, as was told last."""
        self.rows = Rows()
        """What it had of the newest step."""
        self._decoder, self._steering = decoder, steering
        self._answer: Answer | None = None
        self._reading: Reading | None = None
        self._found = Found()
        self._begins_at: int | None = None  # until its first pass
        self._told_tokens = -1  # of the prompt, that were read
        self._left_s = 0.0  # when its newest events were told

    @property
    def answer(self) -> Answer:
        """Once it was let on."""
        assert self._answer is not None, "the answer is not begun"
        return self._answer

    @property
    def is_begun(self) -> bool:
        """Whether there is an answer."""
        return self._answer is not None

    @property
    def is_finished(self) -> bool:
        """Whether its answer has no more to say."""
        return self._answer is not None and self._answer.is_finished

    @property
    def held_blocks(self) -> list[int]:
        """The blocks of the pool that it has."""
        lease = self._answer.lease if self._answer is not None else None
        return lease.blocks if lease is not None else []

    def hold(self, blocks: int) -> None:
        """Have so many blocks of the pool."""
        if self._answer is not None and self._answer.lease is not None:
            self._answer.lease.hold(blocks)

    def find(self, others: Iterable["Seat"]) -> int:
        """How much of its prompt earlier answers have read, which is held on to until it is let on. What others that
        wait begin with will be kept. Never raises: an answer that cannot be made has a `failure`."""
        self.failure = None
        try:
            if self._answer is None:
                parts_at = self.request.parts_at.union(self.shares_with(others))
                self.request = replace(self.request, parts_at=parts_at)
                self._answer = self._decoder.begin(self.request, self._steering)
            if (prefixes := self._decoder.prefixes) is not None:
                self._found = found_in(prefixes, self._answer)
        except Exception as error:  # noqa: BLE001 - it is told when the request is let on
            self.failure, self._found = error, Found()
        return self._found.length

    def shares_with(self, others: Iterable["Seat"]) -> list[int]:
        """How many tokens its prompt begins with that each of the others' begins with too."""
        return [shared_length(self.request.prompt_ids, other.request.prompt_ids) for other in others]

    def lend(self, others: Iterable["Seat"]) -> None:
        """Now that its prompt is read, keep what others that wait begin with."""
        prefixes, shared = self._decoder.prefixes, max(self.shares_with(others), default=0)
        if prefixes is not None and shared >= prefixes.block_tokens:
            self.answer.lend(prefixes, shared)

    def let_on(self, lease: Lease, company: int = 1) -> None:
        """Begin to read, with what was found; so many answers are on, or will be. Raises why there is no answer."""
        if self.failure is not None:
            raise self.failure
        answer, found = self.answer, self._found
        answer.lease, answer.company, self._found = lease, company, Found()
        self._reading, self._begins_at = reading(answer, lambda: False, found=found), found.length

    def _look_again(self) -> None:
        """Before its first pass: another prompt of this very step may have begun alike, and have lent more by now."""
        begins_at, self._begins_at = self._begins_at, None
        if begins_at is None or (prefixes := self._decoder.prefixes) is None:
            return
        if (found := found_in(prefixes, self.answer)).length > begins_at:
            self._reading = reading(self.answer, lambda: False, found=found)

    def waits_for(self, other: "Seat") -> bool:
        """Whether it had better begin when `other`, whose prompt begins alike, has been read."""
        if self._begins_at is None or (prefixes := self._decoder.prefixes) is None:
            return False
        (shared,) = self.shares_with([other])
        return shared // prefixes.block_tokens * prefixes.block_tokens > self._begins_at

    def step_aside(self, how: PreemptionName) -> None:
        """Give the caches up: copied away, or to be read again."""
        answer, self.aside = self.answer, how
        answer.give_up()
        if how == "swap":
            answer.swap_out()
        else:
            answer.begin_again()

    def resume(self) -> None:
        """Hold what was copied away; or read again, behind what was found."""
        answer, how, found = self.answer, self.aside, self._found
        self.aside, self._found = None, Found()
        if how == "swap":
            answer.swap_in()
            return
        self._reading = reading_again(answer, found) if answer.position else reading(answer, lambda: False, found=found)

    def read(self, stop: int, *, whole: bool) -> list[Event]:
        """As `reading`, by itself."""
        return alone(self.reading(stop, whole=whole))

    def reading(self, stop: int, *, whole: bool) -> Levels[list[Event]]:
        """Read its text up to `stop`, pass by pass; where that is the `whole` of it, its rounds can begin. What is to
        be told: of a prompt that is read again nothing twice."""
        told: list[Event] = []
        self._look_again()
        made = None
        while self._reading is not None and (whole or self.answer.num_read < stop):
            try:
                came = self._reading.send(made)
            except StopIteration:
                self._reading = None
                break
            made = None
            if isinstance(came, Ask):
                made = yield came
            elif isinstance(came, PromptScored):
                told.append(came)
            elif isinstance(came, PrefillProgress) and came.processed_tokens > self._told_tokens:
                self._told_tokens = came.processed_tokens
                told.append(came)
        return told

    def prepare(self, most_drafts: int, places: int) -> int:
        """Before a round: no draft is longer than there is room for, now and in the round that is launched next. Gives
        the rows that are drafted already."""
        answer = self.answer
        answer.places = places
        answer.away_ms = (time.perf_counter() - self._left_s) * 1e3 if self._left_s else 0.0
        if answer.round is None:
            return 0
        shorten(answer.round, most_drafts)
        return answer.round.draft_ids.shape[0] if answer.round.draft_ids is not None else 0

    def texts(self) -> list[Event]:
        """Text that became final. Now its reader has it."""
        self._left_s = time.perf_counter()
        text = self.answer.transcript.take_text()
        return [TextDelta(text)] if text else []

    def finish(self) -> GenerationFinished:
        """Its last event. What it has read is kept for others."""
        answer, self._answer = self.answer, None
        finished = self._decoder.finish(answer)
        try:
            if self.aside is None:
                self._decoder.keep(answer)
        except Exception:  # the answer is whole, and its reader has nothing to do with what others may use
            logger.exception("What an answer has read could not be kept.")
        finally:
            answer.give_up()
        return finished

    def cancel(self) -> list[Event]:
        """End the answer here. What it has read is kept, unless it was copied away."""
        if self._answer is None or (self._reading is None and not self._answer.position):
            self._answer = None
            return [self._never_begun()]
        self._answer.transcript.finish("cancelled")
        return [*self.texts(), self.finish()]

    def give_up(self) -> None:
        """Hold nothing: the answer is over, or has failed."""
        if self._answer is not None:
            self._answer.give_up()
        self._answer = self._reading = None
        self._found = Found()

    def _never_begun(self) -> GenerationFinished:
        request = self.request
        return GenerationFinished(
            "cancelled", (), "", request.seed, len(request.prompt_ids), prefill_ms=0.0, stats=SpeculativeStats()
        )


def shorten(round_: Round, most: int) -> None:
    """Have a round that is launched test no more drafts than there is room for. How many that are has to do with
    memory alone, so the words do not depend on it."""
    if round_.draft is None:
        return
    if round_.draft.tree is not None:
        round_.draft = round_.draft if round_.draft.tree.depth <= most else None
    else:
        round_.draft = round_.draft.first(most) if most > 0 else None


def told_of(error: Exception) -> LookaheadError:
    """An error as it is told: without the frames that it came through, which hold arrays."""
    if isinstance(error, LookaheadError):
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    return LookaheadError(
        f"The answer could not go on, as the engine failed ({type(error).__name__}: {error}): ask again.",
        details=repr(error),
    )
