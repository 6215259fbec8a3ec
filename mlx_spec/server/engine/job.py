"""One request on its way through the engine thread, and the bridge that carries its events to an asyncio loop."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from uuid import uuid4

from mlx_spec.batching.entry import Priority
from mlx_spec.config import DrafterName, ExactnessChoice, SamplingParams
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.decoding.steering import Steering
from mlx_spec.events import Event, GenerationFinished, Waiting
from mlx_spec.models.text.parts import AnswerParts, CallFormat
from mlx_spec.models.text.reasoning import CLOSE, OPEN
from mlx_spec.models.text.tool_use import NO_TOOLS, ToolUse

DrafterChoice = DrafterName
LookaheadChoice = int | Literal["auto"]
FailureKind = Literal["invalid", "not_found", "engine", "cancelled", "busy", "expired", "unavailable"]

# One or two events a token, about a kilobyte each: more than an ordinary answer, and at most some megabytes.
EVENT_BUFFER: Final = 4096
# A reader may take nothing for so long; twice the buffer it never leaves, however fast that was filled.
READER_PATIENCE_S: Final = 10.0
_LONGEST_TIMER_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """What to generate. `max_tokens` None: as many as the context has room for. `drafter`, `lookahead` and `exactness`
    None: the decoder's own. `alternatives` of the likeliest tokens are told with each token. `steering` holds what else
    was asked of the speculation, and takes what is asked later. Where the answer `continues`, the last message is its
    beginning. Instead of messages, `prompt`, a text or token ids, is gone on with as it is, without a chat template.
    `owner` names the chat that it belongs to, None where the client does not say. `left_out` are the fields of `params`
    that the client did not give. `deadline_ms` counts from the request's arrival. The answer must look like its
    `constraint`, if any. `tools` are shown to the model and called, `template` holds settings of its chat template,
    `effort` is how hard it is to think, in OpenAI's words, and `thinking_tokens` how much it may think at most; what it
    thought is told apart from the answer, unless `reasoning_apart` is false. With `logprobs` each token tells its
    log-probability, and so many of the likeliest in its place; None: not asked. An answer that shall `echo` begins with
    the prompt, and may be of no tokens itself. `prediction` is the text that it will mostly be, or its ids, as far as
    the client knows. The requests of one answer share `answer_id`, and `choice` numbers them from 0. `model` None is
    the model that is served from the start."""

    messages: tuple[dict[str, Any], ...]
    params: SamplingParams
    left_out: frozenset[str] = frozenset()
    max_tokens: int | None = None
    drafter: DrafterChoice | None = None
    lookahead: LookaheadChoice | None = None
    alternatives: int = 0
    steering: Steering = field(default_factory=Steering)
    continues: bool = False
    prompt: str | tuple[int, ...] | None = None
    owner: str | None = None
    priority: Priority = "normal"
    deadline_ms: float | None = None
    constraint: Constraint | None = None
    tools: ToolUse = NO_TOOLS
    template: Mapping[str, Any] = field(default_factory=dict)
    effort: str | None = None
    thinking_tokens: int | None = None
    reasoning_apart: bool = True
    logprobs: int | None = None
    echo: bool = False
    prediction: str | tuple[int, ...] | None = None
    model: str | None = None
    answer_id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    choice: int = 0
    exactness: ExactnessChoice | None = None

    @property
    def scores_prompt(self) -> bool:
        """Whether the engine has to tell the prompt's tokens: they are asked for, or what they say is, or that is all
        that is asked."""
        return self.echo and (self.logprobs is not None or isinstance(self.prompt, tuple) or self.max_tokens == 0)

    def of_model(self, model: str) -> "GenerationRequest":
        """The same, asked of another model than the one that is served from the start."""
        return replace(self, model=model)

    def params_with(self, own: Mapping[str, Any]) -> SamplingParams:
        """The parameters, with what the model's `own` are in the place of those that the client left out."""
        return replace(self.params, **{name: value for name, value in own.items() if name in self.left_out})


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What was read for the chat `owner` is to be forgotten; all that was read where that is None."""

    owner: str | None = None


class Wanting:
    """A wish that `model` is loaded, or with `keeps` False let go where nobody uses it. Made on the asyncio loop that
    waits for it, and answered with what was loaded, or the failure, from any thread."""

    def __init__(self, model: str | None, *, keeps: bool = True) -> None:
        self.model, self.keeps = model, keeps
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Any] = self._loop.create_future()

    def give(self, answer: Any) -> None:
        """It is done."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._set, answer)

    async def answer(self) -> Any:
        """What was loaded. Raises JobFailed."""
        answer = await self._answer
        if isinstance(answer, Failure):
            raise JobFailed(answer)
        return answer

    def _set(self, answer: Any) -> None:
        if not self._answer.done():
            self._answer.set_result(answer)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job ended without an answer: plain text only, as an exception's frames would hold the thread's arrays.
    `retry_after_s` is when to ask again, where that may help."""

    kind: FailureKind
    message: str
    param: str | None = None
    code: str | None = None
    retry_after_s: int | None = None


class JobFailed(Exception):  # noqa: N818 - named for what happened to the job
    """Raised by `Job.events` when the job ended without an answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Job:
    """A queued or running generation. Made on the asyncio loop that will read it.

    The loop reads `events` and may `cancel`; the engine thread calls `post` and asks `cancelled`; any thread may
    `fail`. About `EVENT_BUFFER` events may wait here for a reader that has begun to read, see `post`; the choices
    behind the first of a request are read one after the other, and have all of theirs wait.
    """

    def __init__(self, request: GenerationRequest) -> None:
        self.request = request
        self.id = request.answer_id
        self.batch_id = f"{self.id}-{request.choice}" if request.choice else self.id
        """The name that no other job has."""
        self.failure: Failure | None = None
        self.arrived_s = time.monotonic()
        self.is_taken = False
        """Whether the batch has it, which looks after its deadline from then on. For the engine thread to set."""
        self.calls: CallFormat | None = None
        """How the model that answers calls tools. For the engine thread to set, before the first event."""
        self.notes: tuple[str, ...] = ()
        """What is not done as it was asked for, a sentence each. Set as `calls` is."""
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Event | Failure] = asyncio.Queue()
        self._begun = asyncio.Event()
        self._is_told = False  # whether anything of the answer itself has come
        self._cancelled = threading.Event()
        self._is_read = request.choice == 0
        self._unread = self._before_reading = 0
        self._full_since: float | None = None
        self._expiring: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Ask the engine to stop before its next step and wake the reader; without effect on a finished job."""
        if not self._cancelled.is_set():
            self.fail(Failure("cancelled", "The request was cancelled."))

    def cancelled(self) -> bool:
        """Whether nobody wants the rest any more. Safe from any thread."""
        return self._cancelled.is_set()

    def fail(self, failure: Failure) -> None:
        """End the job without an answer. Safe from any thread."""
        self._cancelled.set()
        self._send(failure)

    def parts(self) -> AnswerParts:
        """What takes the answer's text apart. For the reader, once the first event has come."""
        request = self.request
        begun = str(request.messages[-1]["content"]) if request.continues and request.messages else ""
        return AnswerParts(
            self.calls,
            request.tools.callable,
            most_calls=None if request.tools.is_parallel else 1,
            is_begun=bool(begun),
            reasoning_apart=request.reasoning_apart,
            is_thinking=begun.lstrip().startswith(OPEN) and CLOSE not in begun,
        )

    @property
    def deadline_left_ms(self) -> float | None:
        """How much of its deadline is left; None where it has none."""
        if self.request.deadline_ms is None:
            return None
        return self.request.deadline_ms - (time.monotonic() - self.arrived_s) * 1e3

    def watch_deadline(self) -> None:
        """Fail as soon as the deadline has passed and the batch has not taken it. On its loop."""
        if (left_ms := self.deadline_left_ms) is None or self.cancelled() or self.is_taken:
            return
        if left_ms > 0:
            # A loop's timers end at some years.
            self._expiring = self._loop.call_later(min(left_ms / 1e3, _LONGEST_TIMER_S), self.watch_deadline)
            return
        self.fail(expired(self.request.deadline_ms or 0.0))

    def post(self, event: Event) -> bool:
        """Hand an event to the reader; False when the job is over. For the engine thread, which never waits for one
        reader, as others wait for it: who reads nothing for long, or leaves too much, gets no more."""
        unread = self._unread - self._before_reading
        if self._is_read and unread >= EVENT_BUFFER:
            now = time.monotonic()
            self._full_since = self._full_since or now
            if now - self._full_since > READER_PATIENCE_S or unread >= 2 * EVENT_BUFFER:
                self.fail(Failure("engine", "The client stopped reading, so the answer was stopped."))
                return False
        else:
            self._full_since = None
        self._unread += 1
        self._send(event)
        return not self.cancelled()

    async def begun(self, patience_s: float) -> bool:
        """Wait until the first event of the answer itself, but no longer than `patience_s`; whether it came. Raises
        JobFailed when the job failed before it: a later failure is told where the answer is, whoever was quicker."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._begun.wait(), patience_s)
        if self.failure is not None and not self._is_told:
            raise JobFailed(self.failure)
        return self._begun.is_set()

    async def events(self) -> AsyncIterator[Event]:
        """The events up to GenerationFinished. Raises JobFailed."""
        if not self._is_read:
            self._is_read, self._before_reading = True, self._items.qsize()
        while True:
            item = await self._items.get()
            if isinstance(item, Failure):
                raise JobFailed(item)
            self._unread = self._items.qsize()
            yield item
            if isinstance(item, GenerationFinished):
                return

    def _send(self, item: Event | Failure) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver, item)
        except RuntimeError:  # the loop is closed: nobody reads any more
            self._cancelled.set()

    def _deliver(self, item: Event | Failure) -> None:
        if isinstance(item, Failure):
            self.failure = self.failure or item
        if isinstance(item, Failure | GenerationFinished) and self._expiring is not None:
            self._expiring.cancel()
        self._is_told = self._is_told or not isinstance(item, Waiting | Failure)
        if not isinstance(item, Waiting):
            self._begun.set()
        self._items.put_nowait(item)


def expired(deadline_ms: float) -> Failure:
    """What is told of a deadline that passed before the answer was begun."""
    message = f"The deadline of {deadline_ms:g} ms passed before the answer was begun: allow more time."
    return Failure("expired", message, "deadline_ms", "deadline_passed")
