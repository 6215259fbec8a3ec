"""Who may ask: the Host, the Origin and the key of every request, before any route sees it."""

import hmac
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mlx_spec.server.answers import error_body

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_OPEN_PATHS: Final = frozenset({"/health"})


class Guard:
    """ASGI middleware. A page of a foreign site must not reach the engine: neither by its own name pointed at the
    loopback address (DNS rebinding: its `Host` gives it away) nor by a plain cross-site request (its `Origin` does).

    `allowed_hosts` are names and addresses without a port; None allows every one, which is only safe with a key.
    """

    def __init__(self, app: ASGIApp, *, api_key: str | None, allowed_hosts: Collection[str] | None) -> None:
        self._app = app
        self._authorization = f"Bearer {api_key}".encode() if api_key is not None else None
        self._allowed = None if allowed_hosts is None else frozenset(name.lower() for name in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            shown = ", ".join(hosts) or "missing"
            return _refuse(403, f"The Host header is {shown!r}, which is not this server.")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != hosts[0].lower():
            return _refuse(403, f"Requests from the web page {origin!r} are not allowed.")
        if scope["path"] in _OPEN_PATHS or self._authorization is None:
            return None
        given = headers.get("authorization", "")
        scheme, _, key = given.partition(" ")
        sent = f"{'Bearer' if scheme.lower() == 'bearer' else scheme} {key.strip()}"
        if not hmac.compare_digest(sent.encode(), self._authorization):
            what = "The API key is wrong" if given else "The API key is missing"
            return _refuse(401, f"{what}: send it as 'Authorization: Bearer KEY'.")
        return None

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        return name is not None and (self._allowed is None or name.rstrip(".") in self._allowed)


def _refuse(status: int, message: str) -> Response:
    if status == 401:
        body = error_body(message, "authentication_error", code="invalid_api_key")
        return JSONResponse(body, 401, {"WWW-Authenticate": "Bearer"})
    return JSONResponse(error_body(message, "permission_error"), status)
