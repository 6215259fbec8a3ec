"""Who may ask: the Host, the Origin and the key of every request, before any route sees it."""

import contextlib
import hmac
import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mlx_spec.errors import ServerError
from mlx_spec.server.address import is_loopback
from mlx_spec.server.answers.errors import error_answer, error_body

KEY_VARIABLE: Final = "LOOKAHEAD_API_KEY"
LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_OPEN_PATHS: Final = frozenset({"/health"})


class Guard:
    """ASGI middleware. A page of a foreign site must not reach the engine: neither by its own name pointed at the
    loopback address (DNS rebinding: its `Host` gives it away) nor by a plain cross-site request (its `Origin` does).

    `allowed_hosts` are names and addresses without a port; None allows every one, which is only safe with a key.
    `allowed_origins` are those of foreign pages that may ask all the same; "*" is every one, as little safe.
    """

    def __init__(
        self, app: ASGIApp, *, allowed_hosts: Collection[str] | None, allowed_origins: Collection[str]
    ) -> None:
        self._app = app
        self._hosts = None if allowed_hosts is None else frozenset(name.lower() for name in allowed_hosts)
        self._origins = frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] != "lifespan" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            shown = ", ".join(hosts) or "missing"
            return _refuse(scope, 403, f"The Host header is {shown!r}, which is not this server (see --allow-host).")
        origin = headers.get("origin")
        if origin is not None and not self._may_ask(origin, hosts[0]):
            return _refuse(scope, 403, f"Requests from the web page {origin!r} are not allowed (see --allow-origin).")
        return None

    def _may_ask(self, origin: str, host: str) -> bool:
        if "*" in self._origins or origin.lower() in self._origins:
            return True
        try:
            return urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:
            return False

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        return name is not None and (self._hosts is None or name.rstrip(".") in self._hosts)


class KeyCheck:
    """ASGI middleware: the key of every request but those that browsers ask leave with, which cannot carry one, and
    those for a path that is open to all."""

    def __init__(self, app: ASGIApp, *, api_key: str | None) -> None:
        self._app = app
        self._authorization = f"Bearer {api_key}".encode() if api_key is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] != "lifespan" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        if scope["path"] in _OPEN_PATHS or scope.get("method") == "OPTIONS" or self._authorization is None:
            return None
        headers = Headers(scope=scope)
        # Anthropic's clients have a header of their own for it.
        given = headers.get("authorization", "")
        if not given and "x-api-key" in headers:
            given = f"Bearer {headers['x-api-key']}"
        scheme, _, key = given.partition(" ")
        sent = f"{'Bearer' if scheme.lower() == 'bearer' else scheme} {key.strip()}"
        if not hmac.compare_digest(sent.encode(), self._authorization):
            what = "The API key is wrong" if given else "The API key is missing"
            return _refuse(scope, 401, f"{what}: send it as 'Authorization: Bearer KEY'.")
        return None


def cross_origin(origins: Collection[str]) -> Middleware:
    """Answers what browsers ask before, and see beside, a request of a foreign page that is allowed."""
    return Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["x-request-id"],
        allow_private_network=True,
    )


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask a server: its key (None for no key), the names it goes by (None for any), and foreign pages."""

    api_key: str | None
    hosts: frozenset[str] | None
    origins: frozenset[str]


def checked_access(
    host: str, api_key: str | None, allow_hosts: Collection[str], allow_origins: Collection[str]
) -> Access:
    """The access to a server on `host`, by its options. Raises ServerError for what would let anybody in."""
    key = checked_key(api_key, host)
    hosts = checked_hosts(allow_hosts, has_key=key is not None)
    origins = checked_origins(allow_origins, has_key=key is not None)
    # Who reaches another address than this machine's own has the key, and knows it by any name.
    own = {*LOOPBACK_NAMES, host.lower(), *hosts} if is_loopback(host) and hosts is not None else None
    return Access(key, None if own is None else frozenset(own), origins)


def checked_key(api_key: str | None, host: str) -> str | None:
    """The key to ask for: `api_key`, or the environment's; None for none. Raises ServerError."""
    if api_key is None:
        api_key = os.environ.get(KEY_VARIABLE) or None
    if api_key is None:
        if not is_loopback(host):
            raise ServerError(
                f"Serving on {host} would open the engine to the network: "
                f"give an API key (--api-key or {KEY_VARIABLE})."
            )
        return None
    if not api_key or not all("!" <= character <= "~" for character in api_key):
        raise ServerError("The API key must be printable ASCII characters without spaces, and at least one.")
    return api_key


def checked_hosts(names: Collection[str], *, has_key: bool) -> frozenset[str] | None:
    """The names of `--allow-host`, without ports; None where every one is allowed. Raises ServerError."""
    if "*" in names:
        if not has_key:
            raise ServerError("--allow-host '*' would let every web page in: give an API key, or name the hosts.")
        return None
    return frozenset(_host(name) for name in names)


def checked_origins(origins: Collection[str], *, has_key: bool) -> frozenset[str]:
    """The origins of `--allow-origin`, as browsers write them. Raises ServerError."""
    return frozenset(_origin(origin, has_key=has_key) for origin in origins)


def _host(name: str) -> str:
    with contextlib.suppress(ValueError):
        if "/" not in name and (host := urlsplit(f"//{name}").hostname):
            return host.rstrip(".")
    raise ServerError(f"--allow-host {name!r} is no name of a host: write it as in host.docker.internal.")


def _origin(origin: str, *, has_key: bool) -> str:
    if origin in ("*", "null"):
        if has_key:
            return origin
        raise ServerError(
            f"--allow-origin '{origin}' would let web pages of anybody in: give an API key, or name them."
        )
    with contextlib.suppress(ValueError):
        parts = urlsplit(origin.lower().rstrip("/"))
        if parts.scheme and parts.netloc and not (parts.path or parts.query or parts.fragment):
            return f"{parts.scheme}://{parts.netloc}"
    raise ServerError(f"--allow-origin {origin!r} is no origin: write it as in http://localhost:3000.")


def _refuse(scope: Scope, status: int, message: str) -> Response:
    if status == 401:
        body = error_body(message, "authentication_error", code="invalid_api_key")
        return error_answer(scope, body, 401, {"WWW-Authenticate": "Bearer"})
    return error_answer(scope, error_body(message, "permission_error"), status)
