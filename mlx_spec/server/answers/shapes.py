"""An error in the shape that each protocol has for it. A request's address says which protocol it speaks."""

from typing import Any, Final

from starlette.types import Scope

_ANTHROPIC: Final = "/v1/messages"
_OLLAMA: Final = "/api"
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
    if path == _ANTHROPIC or path.startswith(f"{_ANTHROPIC}/"):
        return anthropic_error(message, status)
    if path == _OLLAMA or path.startswith(f"{_OLLAMA}/"):
        return {"error": message}
    return body


def anthropic_error(message: str, status: int) -> dict[str, Any]:
    """Anthropic's error object."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}
