"""An answer on its way out: the events of a job as parts, told by a face's writer, whole or as it comes."""

import json
from collections.abc import AsyncIterator
from typing import Final, Protocol

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from mlx_spec.events import GenerationFinished, PrefillProgress, TextDelta
from mlx_spec.models.text.parts import AnswerParts, Part
from mlx_spec.server.answers.errors import Json
from mlx_spec.server.answers.stream import SHUTDOWN_GRACE_S
from mlx_spec.server.engine.job import Failure, Job, JobFailed

_NDJSON: Final = "application/x-ndjson"


class Writer(Protocol):
    """Tells an answer in the words of a protocol. What it gives is what a stream carries next; `answer` is the whole,
    once `finished`."""

    def begun(self, prompt_tokens: int, cached_tokens: int) -> list[Json]: ...

    def part(self, part: Part) -> list[Json]: ...

    def finished(self, event: GenerationFinished) -> list[Json]: ...

    def failed(self, failure: Failure) -> list[Json]: ...

    def answer(self) -> Json: ...


async def told(job: Job, parts: AnswerParts, writer: Writer) -> AsyncIterator[Json]:
    """All that `writer` tells of the answer of `job`. Raises JobFailed."""
    is_begun = False
    async for event in job.events():
        match event:
            case PrefillProgress() if not is_begun:
                is_begun = True
                for one in writer.begun(event.total_tokens, event.cached_tokens):
                    yield one
            case TextDelta():
                for part in parts.feed(event.text):
                    for one in writer.part(part):
                        yield one
            case GenerationFinished():
                if not is_begun:
                    for one in writer.begun(event.prompt_tokens, event.cached_tokens):
                        yield one
                for part in parts.feed("", ended=True):
                    for one in writer.part(part):
                        yield one
                for one in writer.finished(event):
                    yield one


async def whole(job: Job, parts: AnswerParts, writer: Writer) -> Json:
    """The answer as one object. Raises JobFailed."""
    async for _ in told(job, parts, writer):
        pass
    return writer.answer()


async def _all(job: Job, parts: AnswerParts, writer: Writer) -> AsyncIterator[Json]:
    try:
        async for one in told(job, parts, writer):
            yield one
    except JobFailed as failed:
        for one in writer.failed(failed.failure):
            yield one


class EventStream(EventSourceResponse):
    """Server-sent events, each named by its `type`; the job ends with the response, however that ends."""

    def __init__(
        self, job: Job, parts: AnswerParts, writer: Writer, *, ping: bool, ping_s: float, last: str | None = None
    ) -> None:
        super().__init__(
            _named_events(job, parts, writer, ping=ping, last=last),
            ping=ping_s,
            sep="\n",
            shutdown_grace_period=SHUTDOWN_GRACE_S,
        )
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._job.cancel()


async def _named_events(
    job: Job, parts: AnswerParts, writer: Writer, *, ping: bool, last: str | None
) -> AsyncIterator[ServerSentEvent]:
    if ping:
        yield ServerSentEvent(comment="ping")
    async for one in _all(job, parts, writer):
        yield ServerSentEvent(json.dumps(one), event=one["type"])
    if last is not None:
        yield ServerSentEvent(last)


class LineStream(StreamingResponse):
    """JSON objects, a line each; the job ends with the response, however that ends."""

    def __init__(self, job: Job, parts: AnswerParts, writer: Writer) -> None:
        super().__init__(_lines(job, parts, writer), media_type=_NDJSON)
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._job.cancel()


async def _lines(job: Job, parts: AnswerParts, writer: Writer) -> AsyncIterator[str]:
    async for one in _all(job, parts, writer):
        yield json.dumps(one) + "\n"

