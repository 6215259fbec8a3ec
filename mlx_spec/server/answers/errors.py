"""Errors, as OpenAI writes them, and with which status each goes out."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from mlx_spec.errors import ConfigError, GrammarError
from mlx_spec.server.answers.shapes import shaped
from mlx_spec.server.engine.job import Failure, FailureKind, JobFailed
from mlx_spec.server.requests.validation import RequestError

Json = dict[str, Any]
ErrorType = Literal[
    "invalid_request_error", "authentication_error", "permission_error", "rate_limit_error", "server_error"
]

_LONGEST_MESSAGE: Final = 1000
_STATUS: Final[dict[FailureKind, int]] = {
    "invalid": 400,
    "not_found": 404,
    "expired": 408,
    "busy": 429,
    "engine": 500,
    "cancelled": 500,
    "unavailable": 503,
}
_CODES: Final[dict[FailureKind, str]] = {"not_found": "model_not_found", "busy": "rate_limit_exceeded"}


def error_body(message: str, kind: ErrorType, param: str | None = None, code: str | None = None) -> Json:
    """OpenAI's error object."""
    if len(message) > _LONGEST_MESSAGE:
        message = message[: _LONGEST_MESSAGE - 1] + "…"
    # A lone surrogate in an echoed value must not break the answer that refuses it.
    message = message.encode(errors="backslashreplace").decode()
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def failure_body(failure: Failure) -> tuple[int, Json]:
    """The HTTP status and the error object of a failed job."""
    status = _STATUS[failure.kind]
    kind: ErrorType = "server_error" if status >= 500 else "invalid_request_error"
    if failure.kind == "busy":
        kind = "rate_limit_error"
    return status, error_body(failure.message, kind, failure.param, failure.code or _CODES.get(failure.kind))


def error_answer(scope: Scope, body: Json, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """OpenAI's error object `body` as the answer to the request `scope`, in the shape of its protocol."""
    return JSONResponse(shaped(body, status, scope), status, headers)


def _invalid(request: Request, message: str, param: str | None) -> Response:
    return error_answer(request.scope, error_body(message, "invalid_request_error", param), 400)


async def _on_request_error(request: Request, error: Exception) -> Response:
    return _invalid(request, str(error), error.param if isinstance(error, RequestError) else None)


async def _on_config_error(request: Request, error: Exception) -> Response:
    return _invalid(request, str(error), error.field if isinstance(error, ConfigError) else None)


async def _on_grammar_error(request: Request, error: Exception) -> Response:
    return _invalid(request, str(error), error.field if isinstance(error, GrammarError) else None)


async def _on_job_failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, JobFailed)
    status, body = failure_body(error.failure)
    retry_after_s = error.failure.retry_after_s
    headers = None if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return error_answer(request.scope, body, status, headers)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if request.method == "OPTIONS" and error.status_code == 405:
        return Response(status_code=204, headers=error.headers)  # what may be done there
    message = f"{request.method} {request.url.path} is not served here: {error.detail}."
    body = error_body(message, "invalid_request_error")
    return error_answer(request.scope, body, error.status_code, error.headers)


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return _invalid(request, "The client went away before the request was complete.", None)


async def _on_bug(request: Request, error: Exception) -> Response:
    body = error_body(f"The server failed: {type(error).__name__}: {error}", "server_error")
    return error_answer(request.scope, body, 500)


HANDLERS: Final = {
    RequestError: _on_request_error,
    ConfigError: _on_config_error,
    GrammarError: _on_grammar_error,
    JobFailed: _on_job_failed,
    HTTPException: _on_http_exception,
    ClientDisconnect: _on_disconnect,
    Exception: _on_bug,
}
"""What the app answers to each kind of exception that a route raises."""
