"""An error in the shape that each protocol has for it. A request's address says which protocol it speaks."""

import json
from typing import Any, Final

from starlette.types import Scope

_ANTHROPIC: Final = "/v1/messages"
_OLLAMA: Final = "/api"
_RESPONSES: Final = "/v1/responses"
_CHUNKS: Final = frozenset({"/v1/chat/completions", "/v1/completions"})
_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


def shaped(body: dict[str, Any], status: int, scope: Scope) -> dict[str, Any]:
    """OpenAI's error object `body` in the shape that the protocol of the request `scope` has for it."""
    path, message = scope["path"], body["error"]["message"]
    if _is_under(path, _ANTHROPIC):
        return anthropic_error(message, status)
    if _is_under(path, _OLLAMA):
        return {"error": message}
    return body


def last_event(body: dict[str, Any], path: str, told: int) -> bytes | None:
    """OpenAI's error object as the last that a stream at `path` says of an answer, behind `told` events, in the words
    of its protocol; None where there is no such stream."""
    message = body["error"]["message"]
    if _is_under(path, _OLLAMA):
        return json.dumps({"error": message}).encode() + b"\n"
    if path in _CHUNKS:
        return f"data: {json.dumps(body)}\n\n".encode()
    if path == _ANTHROPIC:
        said = anthropic_error(message, 503)
    elif path == _RESPONSES:
        said = {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": told}
    else:
        return None
    return f"event: error\ndata: {json.dumps(said)}\n\n".encode()


def _is_under(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")


def anthropic_error(message: str, status: int) -> dict[str, Any]:
    """Anthropic's error object."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}
