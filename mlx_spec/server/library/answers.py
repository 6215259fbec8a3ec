"""What the routes of models read of a request, and how they answer: work in a worker thread, failures by kind."""

from collections.abc import Callable
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mlx_spec.errors import ConfigError, DownloadError, DownloadFailure, LookaheadError, ModelNotFoundError
from mlx_spec.server.answers.errors import Json, error_body
from mlx_spec.server.requests.body import read_json
from mlx_spec.server.requests.validation import RequestError

_STATUS: Final[dict[DownloadFailure, int]] = {
    "gated": 403,
    "token": 403,
    "not_found": 404,
    "rate_limited": 429,
    "offline": 502,
    "server": 502,
    "proxy": 502,
    "checksum": 502,
    "disk_full": 507,
}


async def answered(work: Callable[[], Json]) -> Response:
    """What `work` gives, done in a worker thread; what it raises, as an error of the protocol."""
    try:
        return JSONResponse(await run_in_threadpool(work))
    except ConfigError:
        raise  # answered by the app, with the field's name
    except DownloadError as error:
        status = _STATUS.get(error.kind, 400)
        return _refused(error, status, error.kind, error.page)
    except ModelNotFoundError as error:
        return _refused(error, 404, "model_not_found", None)
    except LookaheadError as error:
        return _refused(error, 400, None, None)


def _refused(error: LookaheadError, status: int, code: str | None, page: str | None) -> Response:
    body = error_body(str(error), "invalid_request_error" if status < 500 else "server_error", code=code)
    body["error"]["page"] = page
    return JSONResponse(body, status)


async def field_of(request: Request, name: str) -> str:
    """The string `name` of a body that is a JSON object. Raises RequestError."""
    value = await read_json(request)
    field = value.get(name) if isinstance(value, dict) else None
    if not isinstance(field, str):
        raise RequestError(f"{name} is missing: the body must be a JSON object with this string in it.", name)
    return field


def asked_of(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if not value:
        raise RequestError(f"{name} is missing from the address.", name)
    return value


def tokens_of(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise RequestError(f"context is {text!r}: it must be a whole number of at least 1.", "context")
    return int(text)
