"""What every request passes before and after the rest: its address as clients write it, and an id for it."""

import re
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID: Final = "x-request-id"
_ID: Final = re.compile(r"[!-~]{1,200}")
_UNDER_V1: Final = frozenset({"chat", "completions", "models", "responses", "messages"})


class Doorway:
    """ASGI middleware. Addresses may end in a slash, and those that OpenAI has may lack the /v1: a redirect would lose
    the key or the body of many clients. `x-request-id` is the client's own where it sends one, and made otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _ID.fullmatch(given) else f"req-{uuid4().hex}"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        await self._app({**scope, "path": usual_path(scope["path"])}, receive, answer)


def usual_path(path: str) -> str:
    """A request's path as OpenAI writes it."""
    if not path.startswith("/"):
        return path  # "OPTIONS *" is of the server as a whole, and "CONNECT host:443" of another one: unknown here
    path = path.rstrip("/") or "/"
    return f"/v1{path}" if path.split("/")[1] in _UNDER_V1 else path
