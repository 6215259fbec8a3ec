"""One request on its way through the engine thread, and the bridge that carries its events to an asyncio loop."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from uuid import uuid4

from mlx_spec.config import DrafterName, SamplingParams
from mlx_spec.decoding.steering import Steering
from mlx_spec.events import Event, GenerationFinished

DrafterChoice = DrafterName
LookaheadChoice = int | Literal["auto"]
FailureKind = Literal["invalid", "not_found", "engine", "cancelled"]

# One or two events a token, about a kilobyte each: more than an ordinary answer, and at most some megabytes.
EVENT_BUFFER: Final = 4096
# A reader that takes nothing for so long holds up everybody behind it.
READER_PATIENCE_S: Final = 10.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """What to generate. `max_tokens` None: as many as the context has room for. `drafter` and `lookahead` None: the
    decoder's own. `alternatives` of the likeliest tokens are told with each token. `steering` holds what else was asked
    of the speculation, and takes what is asked of it later. Where the answer `continues`, the last message is its
    beginning. Instead of messages, `prompt`, a text or token ids, is gone on with as it is, without a chat template.
    `owner` names the chat that it belongs to, None where the client does not say. `left_out` are the fields of `params`
    that the client did not give; the requests of one answer share `answer_id`."""

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
    answer_id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")

    def params_with(self, own: Mapping[str, Any]) -> SamplingParams:
        """The parameters, with what the model's `own` are in the place of those that the client left out."""
        return replace(self.params, **{name: value for name, value in own.items() if name in self.left_out})


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What was read for the chat `owner` is to be forgotten; all that was read where that is None."""

    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job ended without an answer: plain text only, as an exception's frames would hold the thread's arrays."""

    kind: FailureKind
    message: str
    param: str | None = None
    code: str | None = None


class JobFailed(Exception):  # noqa: N818 - named for what happened to the job
    """Raised by `Job.events` when the job ended without an answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Job:
    """A queued or running generation. Made on the asyncio loop that will read it.

    The loop reads `events` and may `cancel`; the engine thread calls `post` and asks `cancelled`; any thread may
    `fail`. At most `EVENT_BUFFER` events wait here: `post` blocks until the reader has made room.
    """

    def __init__(self, request: GenerationRequest) -> None:
        self.request = request
        self.id = request.answer_id
        self.failure: Failure | None = None
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Event | Failure] = asyncio.Queue()
        self._begun = asyncio.Event()
        self._room = threading.Semaphore(EVENT_BUFFER)
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ask the engine to stop at the next round and wake the reader; without effect on a finished job."""
        if not self._cancelled.is_set():
            self.fail(Failure("cancelled", "The request was cancelled."))

    def cancelled(self) -> bool:
        """Whether nobody wants the rest any more. Safe from any thread."""
        return self._cancelled.is_set()

    def fail(self, failure: Failure) -> None:
        """End the job without an answer. Safe from any thread."""
        self._cancelled.set()
        self._send(failure)

    def post(self, event: Event) -> bool:
        """Hand an event to the reader, waiting for room; False when the job is over. For the engine thread."""
        deadline = time.monotonic() + READER_PATIENCE_S
        while not self._room.acquire(timeout=_POLL_S):
            if self.cancelled():
                return False
            if time.monotonic() > deadline:
                self.fail(Failure("engine", "The client stopped reading, so the answer was stopped."))
                return False
        self._send(event)
        return not self.cancelled()

    async def begun(self, patience_s: float) -> bool:
        """Wait until the first event, but no longer than `patience_s`; whether it came. Raises JobFailed when the job
        failed by then."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._begun.wait(), patience_s)
        if self.failure is not None:
            raise JobFailed(self.failure)
        return self._begun.is_set()

    async def events(self) -> AsyncIterator[Event]:
        """The events up to GenerationFinished. Raises JobFailed."""
        while True:
            item = await self._items.get()
            if isinstance(item, Failure):
                raise JobFailed(item)
            self._room.release()
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
        self._begun.set()
        self._items.put_nowait(item)
