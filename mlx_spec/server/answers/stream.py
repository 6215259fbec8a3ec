"""An answer as server-sent events, while the engine makes it."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from mlx_spec.events import Event, Preempted, Resumed, Waiting
from mlx_spec.server.answers.completions import AnswerWriter
from mlx_spec.server.answers.errors import failure_body
from mlx_spec.server.engine.job import Job, JobFailed

SHUTDOWN_GRACE_S: Final = 1.0
"""For so long a stream that is under way when the server stops may say its last word."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How a stream waits for its turn. So long it waits for its first event, to answer a bad prompt with a status; then
    it opens with a ping, and more follow, as many clients give up on a server that says nothing for some seconds."""

    begun_s: float = 1.0
    ping_s: float = 3.0


USUAL_PATIENCE: Final = Patience()


class JobStream(EventSourceResponse):
    """Server-sent events of jobs, which end with the response: however that ends, and even if it never began."""

    def __init__(self, jobs: Sequence[Job], writer: AnswerWriter, *, usage: bool, ping: bool, ping_s: float) -> None:
        chunks = _chunks(jobs, writer, ping=ping, usage=usage)
        super().__init__(chunks, ping=ping_s, sep="\n", shutdown_grace_period=SHUTDOWN_GRACE_S)
        self._jobs = jobs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            cancel(self._jobs)


async def _chunks(
    jobs: Sequence[Job], writer: AnswerWriter, *, ping: bool, usage: bool
) -> AsyncIterator[str | ServerSentEvent]:
    if ping:
        yield ServerSentEvent(comment="ping")
    try:
        for job in jobs:
            for chunk in writer.opening():
                yield json.dumps(chunk)
            async for event in job.events():
                if (comment := _comment(event, first=job is jobs[0])) is not None:
                    yield ServerSentEvent(comment=comment)
                for chunk in writer.chunks(event):
                    yield json.dumps(chunk)
    except JobFailed as failed:
        yield json.dumps(failure_body(failed.failure)[1])
        return
    if usage:
        yield json.dumps(writer.usage_chunk())
    yield "[DONE]"


def _comment(event: Event, *, first: bool) -> str | None:
    """What a client may want to know that is no part of the answer. Further choices are read when they have waited."""
    match event:
        case Waiting():
            return f"waiting {event.ahead} ahead" if first else None
        case Preempted():
            return "preempted"
        case Resumed():
            return "resumed"
        case _:
            return None


def cancel(jobs: Sequence[Job]) -> None:
    """End jobs whose answer nobody wants any more."""
    for job in jobs:
        job.cancel()


async def cancel_when_gone(request: Request, jobs: Sequence[Job]) -> None:
    """Cancel the jobs when the client goes away; the body has been read, so all that can still come is that."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    cancel(jobs)
