"""Answers the public port while the group is not whole: 503, and a sentence about who is missing."""

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

from mlx_spec.hosts.group import GroupState
from mlx_spec.server.answers.errors import error_answer, error_body
from mlx_spec.server.doorway import Doorway
from mlx_spec.server.guard import Access, Guard, KeyCheck, cross_origin

_GRACE_S: Final = 1
_AGAIN_S: Final = 10
# Who knocks again must come to whoever answers then.
_CLOSING: Final = {"Connection": "close"}
_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


class HttpDoorman:
    """A `hosts.supervisor.Doorman` on a listening socket, which stays open whatever it does. `state` is what it tells
    of."""

    def __init__(self, listener: socket.socket, access: Access, state: Callable[[], GroupState]) -> None:
        self._listener = listener
        self._app = absence_app(access, state)
        self._serving: tuple[uvicorn.Server, threading.Thread] | None = None

    def open(self) -> None:
        """Begin to answer, if it does not yet."""
        if self._serving is not None:
            return
        server = uvicorn.Server(
            uvicorn.Config(
                self._app,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        # uvicorn closes what it is given.
        sockets = [self._listener.dup()]
        thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, name="doorman", daemon=True)
        self._serving = (server, thread)
        thread.start()

    def close(self) -> None:
        """Answer no more: when it returns, nobody is let in here."""
        if self._serving is None:
            return
        server, thread = self._serving
        self._serving = None
        server.should_exit = True
        thread.join()


def absence_app(access: Access, state: Callable[[], GroupState]) -> Starlette:
    """What answers in the place of a group: /health and /v1/group as ever, all else with 503."""

    async def greet(request: Request) -> Response:
        return PlainTextResponse("Lookahead is running", headers=_CLOSING)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "loading", "message": state().message}, headers=_CLOSING)

    async def group(request: Request) -> Response:
        return JSONResponse(state().to_dict(), headers=_CLOSING)

    async def absent(request: Request) -> Response:
        body = error_body(state().message, "server_error", code="group_not_ready")
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
