"""Requests handed on to the leader's own server, whose process may be killed or stopped in the midst of an answer: then
the client, whose connection is here, is told so in the words of its protocol."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import anyio
import httpx2
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlx_spec.hosts.group import GroupState
from mlx_spec.server.answers.errors import failure_body
from mlx_spec.server.answers.shapes import last_event
from mlx_spec.server.doorway import usual_path
from mlx_spec.server.engine.job import Failure

# Of one connection alone, not of what it carries (RFC 9110, 7.6.1); `date` and `server` each side writes itself.
_OF_A_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect"}
)
_OF_A_SERVER: Final = frozenset({b"date", b"server"})
_ENDS: Final = {"text/event-stream": b"\n\n", "application/x-ndjson": b"\n"}
"""What ends an event, by the type of a stream: half of one must not stand before an error."""
_WORDS_S: Final = 2.0
"""So long a process that is gone may be gone before the supervisor says so."""
_LOOK_S: Final = 0.02

Raw = list[tuple[bytes, bytes]]


class Forwarding:
    """Hands requests on to `url`. What cannot be answered from there `absent` answers, as nothing was said yet; `state`
    tells why an answer has ended before it was whole. All but `give_up` belongs to the thread of one event loop."""

    def __init__(self, url: str, absent: ASGIApp, state: Callable[[], GroupState]) -> None:
        self._url, self._absent, self._state = url, absent, state
        # A connection for each request: who leads next has no part in those that were open.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        self._transport = httpx2.AsyncHTTPTransport(verify=False, trust_env=False, limits=limits)
        self._waiting: set[anyio.CancelScope] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def give_up(self) -> None:
        """Nothing comes from there any more: what is under way ends now. From any thread."""
        if (loop := self._loop) is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._let_go)

    def _let_go(self) -> None:
        for scope in list(self._waiting):
            scope.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as an ASGI app."""
        self._loop = asyncio.get_running_loop()
        whole = anyio.Event()
        async with anyio.create_task_group() as tasks:

            async def until_gone() -> None:
                await whole.wait()  # before, what comes is the request's body
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(until_gone)
            body = _body_of(receive, whole, tasks.cancel_scope) if _has_body(scope) else None
            if body is None:
                whole.set()
            await self._handed_on(scope, body, send)
            tasks.cancel_scope.cancel()

    async def _handed_on(self, scope: Scope, body: AsyncIterator[bytes] | None, send: Send) -> None:
        answer = _Answer(usual_path(scope["path"]), send)
        with anyio.CancelScope() as waiting:
            self._waiting.add(waiting)
            try:
                await self._fetch(_request(self._url, scope, body), answer)
            except httpx2.HTTPError:  # the state will tell why
                pass
            finally:
                self._waiting.discard(waiting)
        if answer.is_whole:
            return
        await self._known()
        if answer.is_begun:
            await answer.break_off(why(self._state()))
        else:
            await self._absent(scope, _nothing, send)

    async def _fetch(self, request: httpx2.Request, answer: "_Answer") -> None:
        response = await self._transport.handle_async_request(request)
        try:
            await answer.begin(response)
            async for piece in response.aiter_raw():
                await answer.go_on(piece)
            await answer.end()
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def _known(self) -> None:
        """Wait until it is known why there is no more, or a while."""
        with anyio.move_on_after(_WORDS_S):
            while self._state().stage == "ready":
                await anyio.sleep(_LOOK_S)


def why(state: GroupState) -> str:
    """Why an answer of the leader's is not whole, as a sentence."""
    if state.stage != "ready":
        return state.error or state.message
    return f"{state.ranks[0].host} (rank 0) broke off its answer."


class _Answer:
    """An answer on its way from the leader to a client. One that is no stream is kept until it is whole, so that one
    that is not can still be an error with a status of its own."""

    def __init__(self, path: str, send: Send) -> None:
        self._path, self._send = path, send
        self._start: Message | None = None
        self._kept, self._end, self._told = b"", b"", 0
        self.is_begun = self.is_whole = False

    async def begin(self, response: httpx2.Response) -> None:
        """Its status and headers are known."""
        headers = _without(response.headers.raw, _OF_A_HOP | _OF_A_SERVER)
        self._start = {"type": "http.response.start", "status": response.status_code, "headers": headers}
        self._end = _ENDS.get(response.headers.get("content-type", "").partition(";")[0], b"")
        if "content-length" not in response.headers:
            await self._open()

    async def _open(self) -> None:
        assert self._start is not None
        self.is_begun = True
        await self._send(self._start)

    async def go_on(self, piece: bytes) -> None:
        """More of it has come."""
        self._kept += piece
        if not self.is_begun:
            return
        whole, end, rest = self._kept.rpartition(self._end) if self._end else (self._kept, b"", b"")
        if whole or end:
            self._kept = rest
            self._told += whole.count(b"\ndata: ") + whole.startswith(b"data: ")
            await self._say(whole + end)

    async def end(self) -> None:
        """All has come."""
        if not self.is_begun:
            await self._open()
        self.is_whole = True
        await self._send({"type": "http.response.body", "body": self._kept})

    async def break_off(self, message: str) -> None:
        """No more will come. What is no stream of an answer cannot say so: there the connection breaks."""
        said = last_event(failure_body(Failure("unavailable", message))[1], self._path, self._told)
        if said is not None and self._end:
            await self._send({"type": "http.response.body", "body": said})

    async def _say(self, text: bytes) -> None:
        await self._send({"type": "http.response.body", "body": text, "more_body": True})


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _body_of(receive: Receive, whole: anyio.Event, gone: anyio.CancelScope) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            gone.cancel()
            await anyio.sleep_forever()
        yield message.get("body", b"")
        if not message.get("more_body", False):
            whole.set()
            return


def _has_body(scope: Scope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


def _request(url: str, scope: Scope, body: AsyncIterator[bytes] | None) -> httpx2.Request:
    headers = _without(scope["headers"], _OF_A_HOP)
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    path = scope["raw_path"] if scope["path"].startswith("/") else b"/" + scope["raw_path"]  # "OPTIONS *"
    place = httpx2.URL(url, raw_path=path + query)
    return httpx2.Request(scope["method"], place, headers=headers, content=body)


def _without(headers: Iterable[tuple[bytes, bytes]], left_out: frozenset[bytes]) -> Raw:
    return [(name, value) for name, value in headers if name.lower() not in left_out]
