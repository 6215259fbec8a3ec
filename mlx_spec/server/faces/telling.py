"""An answer on its way out: the events of a job as parts, told by a face's writer, whole or as it comes."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from mlx_spec.events import Event, GenerationFinished, PrefillProgress, RoundFinished, TextDelta
from mlx_spec.models.text.parts import AnswerParts, Part
from mlx_spec.server.answers.errors import Json
from mlx_spec.server.answers.logprobs import HeldTokens
from mlx_spec.server.answers.stream import SHUTDOWN_GRACE_S
from mlx_spec.server.engine.job import Failure, Job, JobFailed

_SEP: Final = "\n"  # some clients know no other
_NDJSON: Final = "application/x-ndjson"


class Writer(Protocol):
    """Tells an answer in the words of a protocol. What it gives is what a stream carries next; `answer` is the whole,
    once `finished`. The `tokens` that tell their log-probabilities, where that was asked, wait to be taken;
    `thought_tokens` is how many of all went into what was thought."""

    def begun(self, prompt_tokens: int, cached_tokens: int) -> list[Json]: ...

    def part(self, part: Part, tokens: HeldTokens) -> list[Json]: ...

    def finished(self, event: GenerationFinished, tokens: HeldTokens, thought_tokens: int) -> list[Json]: ...

    def failed(self, failure: Failure) -> list[Json]: ...

    def answer(self) -> Json: ...


async def told(job: Job, writer: Writer) -> AsyncIterator[Json]:
    """All that `writer` tells of the answer of `job`. Raises JobFailed."""
    telling = _Telling(job, writer)
    async for event in job.events():
        for one in telling.said_of(event):
            yield one


class _Telling:
    """An answer under way: its text taken apart, and its tokens."""

    def __init__(self, job: Job, writer: Writer) -> None:
        self._job, self._writer = job, writer
        self._parts: AnswerParts | None = None  # from its beginning on
        self._tokens = HeldTokens()

    def said_of(self, event: Event) -> Sequence[Json]:
        """What an event brings."""
        match event:
            case PrefillProgress() if self._parts is None:
                return self._begun(event.total_tokens, event.cached_tokens)[1]
            case RoundFinished():
                self._tokens.add(event)
                return ()
            case TextDelta() if self._parts is not None:
                return self._parted(self._parts.feed(event.text))
            case GenerationFinished():
                return self._finished(event)
            case _:
                return ()

    def _begun(self, prompt_tokens: int, cached_tokens: int) -> tuple[AnswerParts, list[Json]]:
        self._parts = self._job.parts()
        return self._parts, self._writer.begun(prompt_tokens, cached_tokens)

    def _parted(self, parts: Sequence[Part]) -> list[Json]:
        return [one for part in parts for one in self._writer.part(part, self._tokens)]

    def _finished(self, event: GenerationFinished) -> list[Json]:
        parts, said = self._parts, list[Json]()
        if parts is None:  # it ended before it was begun
            parts, said = self._begun(event.prompt_tokens, event.cached_tokens)
        said += self._parted(parts.feed("", ended=True))
        return said + self._writer.finished(event, self._tokens, self._tokens.num_in(parts.thoughts))


async def whole(job: Job, writer: Writer) -> Json:
    """The answer as one object. Raises JobFailed."""
    async for _ in told(job, writer):
        pass
    return writer.answer()


async def _all(job: Job, writer: Writer) -> AsyncIterator[Json]:
    try:
        async for one in told(job, writer):
            yield one
    except JobFailed as failed:
        for one in writer.failed(failed.failure):
            yield one


class EventStream(EventSourceResponse):
    """Server-sent events, each named by its `type`; the job ends with the response, however that ends."""

    def __init__(self, job: Job, writer: Writer, *, ping: bool, ping_s: float, last: str | None = None) -> None:
        super().__init__(
            _named_events(job, writer, ping=ping, last=last),
            ping=ping_s,
            sep=_SEP,
            shutdown_grace_period=SHUTDOWN_GRACE_S,
        )
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._job.cancel()


async def _named_events(job: Job, writer: Writer, *, ping: bool, last: str | None) -> AsyncIterator[ServerSentEvent]:
    if ping:
        yield ServerSentEvent(comment="ping", sep=_SEP)
    async for one in _all(job, writer):
        yield ServerSentEvent(json.dumps(one), event=one["type"], sep=_SEP)
    if last is not None:
        yield ServerSentEvent(last, sep=_SEP)


class LineStream(StreamingResponse):
    """JSON objects, a line each; the job ends with the response, however that ends."""

    def __init__(self, job: Job, writer: Writer) -> None:
        super().__init__(_lines(job, writer), media_type=_NDJSON)
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._job.cancel()


async def _lines(job: Job, writer: Writer) -> AsyncIterator[str]:
    async for one in _all(job, writer):
        yield json.dumps(one) + "\n"
