"""Answers the public port: with what the leader says, and while the group is not whole with 503 and a sentence about
who is missing.

The leader may be killed in the midst of an answer, so the clients' connections are here, in the supervisor's process.
"""

import socket
import threading
from collections.abc import Callable
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mlx_spec.hosts.group import GroupState
from mlx_spec.server.answers.errors import error_answer, error_body
from mlx_spec.server.doorway import Doorway
from mlx_spec.server.group.forwarding import Forwarding, why
from mlx_spec.server.guard import Access, Guard, KeyCheck, cross_origin

_GRACE_S: Final = 1
_AGAIN_S: Final = 10
# Who knocks again must come to whoever answers then.
_CLOSING: Final = {"Connection": "close"}
_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


class HttpDoorman:
    """A `hosts.supervisor.Doorman` on a listening socket, until `end`. The leader answers at `url`; `state` is what is
    told of the group."""

    def __init__(self, listener: socket.socket, access: Access, state: Callable[[], GroupState], url: str) -> None:
        self._absent = absence_app(access, state)
        self._forwarding = Forwarding(url, self._absent, state)
        self._is_open = True
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        self._server = uvicorn.Server(config)
        # uvicorn closes what it is given.
        sockets = [listener.dup()]
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": sockets}, name="doorman", daemon=True
        )
        self._thread.start()

    def open(self) -> None:
        """Who knocks from now on is told that the group is not whole."""
        self._is_open = True

    def close(self) -> None:
        """Who knocks from now on has the leader's answer."""
        self._is_open = False

    def give_up(self) -> None:
        """Nothing comes from the leader any more: whoever waits for it is told so now."""
        self._is_open = True
        self._forwarding.give_up()

    def end(self) -> None:
        """Answer no more at all."""
        self._server.should_exit = True
        self._thread.join()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._absent if self._is_open else self._forwarding)(scope, receive, send)


def absence_app(access: Access, state: Callable[[], GroupState]) -> Starlette:
    """What answers in the place of a group: /health and /v1/group as ever, all else with 503."""

    async def greet(request: Request) -> Response:
        return PlainTextResponse("Lookahead is running", headers=_CLOSING)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "loading", "message": state().message}, headers=_CLOSING)

    async def group(request: Request) -> Response:
        return JSONResponse(state().to_dict(), headers=_CLOSING)

    async def absent(request: Request) -> Response:
        now = state()
        message = why(now) if now.stage == "ready" else now.message
        body = error_body(message, "server_error", code="group_not_ready")
        return error_answer(request.scope, body, 503, {**_CLOSING, "Retry-After": str(_AGAIN_S)})

    return Starlette(
        routes=[
            Route("/", greet, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
            Route("/v1/group", group, methods=["GET"]),
            Route("/{path:path}", absent, methods=_METHODS),
        ],
        middleware=[
            Middleware(Doorway),
            Middleware(Guard, allowed_hosts=access.hosts, allowed_origins=access.origins),
            *([cross_origin(access.origins)] if access.origins else []),
            Middleware(KeyCheck, api_key=access.api_key),
        ],
    )
