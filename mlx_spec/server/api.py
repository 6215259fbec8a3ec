"""The server's routes: docs/PROTOCOL.md over one engine thread. Nothing here touches an array."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Collection
from typing import Any, Final

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mlx_spec.ceiling import UNKNOWN_CEILING
from mlx_spec.errors import ConfigError
from mlx_spec.server.answers import (
    SHUTDOWN_GRACE_S,
    AnswerWriter,
    CompletionWriter,
    Json,
    error_body,
    failure_body,
    model_card,
)
from mlx_spec.server.engine_thread import EngineThread
from mlx_spec.server.guard import LOOPBACK_NAMES, Guard
from mlx_spec.server.job import Failure, Job, JobFailed
from mlx_spec.server.library import LibraryRoutes
from mlx_spec.server.memory import memory_report, set_unloading
from mlx_spec.server.metrics import METRICS_TYPE, metrics_text
from mlx_spec.server.schemas import (
    ChatRequest,
    CompletionRequest,
    RequestError,
    SteeringRequest,
    parse_chat,
    parse_completion,
    validated,
)
from mlx_spec.server.tokenize import parse_tokenize, tokenize

BODY_LIMIT_BYTES: Final = 32 * 1024 * 1024
# So long a stream waits for its first event, to answer a bad prompt with a status; then it opens, and pings flow.
PATIENCE_S: Final = 5.0
_PING_S: Final = 10


def create_app(
    engine: EngineThread,
    *,
    api_key: str | None,
    allowed_hosts: Collection[str] | None = LOOPBACK_NAMES,
    model_name: str,
    aliases: Collection[str] = (),
    library: LibraryRoutes | None = None,
) -> Starlette:
    """The ASGI app over a started `engine`.

    `model_name` is what /v1/models shows; requests may also say one of `aliases`, the loaded pair's or
    target's name or "default". `allowed_hosts` None allows every Host, which is only safe with an `api_key`.
    """
    api = _Api(engine, model_name, aliases)
    return Starlette(
        routes=[
            Route("/health", api.health, methods=["GET"]),
            Route("/v1/models", api.models, methods=["GET"]),
            Route("/v1/models/memory", api.memory, methods=["GET", "PUT"]),
            *(library or LibraryRoutes()).routes(),
            Route("/v1/models/{name:path}", api.model, methods=["GET"]),
            Route("/v1/chat/completions", api.chat, methods=["POST"]),
            Route("/v1/completions", api.completion, methods=["POST"]),
            Route("/metrics", api.metrics, methods=["GET"]),
            Route("/v1/tokenize", api.tokenize, methods=["POST"]),
            Route("/v1/speculation/settings", api.steer, methods=["POST"]),
            Route("/v1/speculation/machine", api.machine, methods=["GET"]),
            Route("/v1/speculation/stats", api.stats, methods=["GET"]),
            Route("/v1/speculation/stats/reset", api.reset_stats, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, api_key=api_key, allowed_hosts=allowed_hosts)],
        exception_handlers={
            RequestError: _on_request_error,
            ConfigError: _on_config_error,
            JobFailed: _on_job_failed,
            HTTPException: _on_http_exception,
            ClientDisconnect: _on_disconnect,
            Exception: _on_bug,
        },
    )


class _Api:
    def __init__(self, engine: EngineThread, model_name: str, aliases: Collection[str]) -> None:
        self._engine = engine
        self._model_name = model_name
        self._names = {model_name, "default", *aliases}
        self._created = int(time.time())

    async def health(self, request: Request) -> Response:
        status = self._engine.status()
        return JSONResponse({"status": status.state, "message": status.message})

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._card()]})

    async def model(self, request: Request) -> Response:
        self._check_model(request.path_params["name"])
        return JSONResponse(self._card())

    async def memory(self, request: Request) -> Response:
        if request.method == "PUT":
            set_unloading(self._engine, await _read_json(request))
        return JSONResponse(await run_in_threadpool(memory_report, self._engine))

    async def tokenize(self, request: Request) -> Response:
        asked = parse_tokenize(await _read_json(request))
        if asked.model is not None:
            self._check_model(asked.model)
        if (pair := self._engine.pair) is None:
            return JSONResponse(error_body(self._engine.status().message, "server_error"), 503)
        return JSONResponse(await tokenize(pair, asked))

    async def stats(self, request: Request) -> Response:
        return JSONResponse(self._engine.stats().to_dict())

    async def reset_stats(self, request: Request) -> Response:
        self._engine.reset_stats()
        return JSONResponse(self._engine.stats().to_dict())

    async def machine(self, request: Request) -> Response:
        return JSONResponse((self._engine.ceiling or UNKNOWN_CEILING).to_dict())

    async def steer(self, request: Request) -> Response:
        wish = validated(SteeringRequest, await _read_json(request))
        return JSONResponse({"request": self._engine.steer(wish.request, wish.change)})

    async def chat(self, request: Request) -> Response:
        return await self._answer(request, parse_chat(await _read_json(request)), AnswerWriter)

    async def completion(self, request: Request) -> Response:
        return await self._answer(request, parse_completion(await _read_json(request)), CompletionWriter)

    async def metrics(self, request: Request) -> Response:
        status, waiting = self._engine.status(), self._engine.num_unfinished()
        text = metrics_text(self._engine.stats(), ready=status.state == "ready", num_unfinished=waiting)
        return Response(text, media_type=METRICS_TYPE)

    async def _answer(
        self, request: Request, chat: ChatRequest | CompletionRequest, writer_kind: type[AnswerWriter]
    ) -> Response:
        if chat.model is not None:
            self._check_model(chat.model)
        job = self._engine.submit(chat.generation())
        watch = asyncio.create_task(_cancel_when_gone(request, job))
        try:
            usage = bool(chat.stream and chat.wants_usage_chunk)
            writer = writer_kind(self._model_name, events=chat.wants_events, usage=usage, request_id=job.id)
            if not chat.stream:
                async for event in job.events():
                    writer.add(event)
                return JSONResponse(writer.answer())
            await job.begun(PATIENCE_S)
            return _JobStream(job, _chunks(job, writer, usage=usage))
        except BaseException:
            job.cancel()
            raise
        finally:
            watch.cancel()

    def _card(self) -> Json:
        pair = self._engine.pair
        return model_card(
            self._model_name, self._created, pair.context_length if pair else None, pair.drafters if pair else None
        )

    def _check_model(self, name: str) -> None:
        pair = self._engine.pair
        if name not in self._names and not (pair and name in (pair.name, pair.target_name)):
            message = f"There is no model {name!r} here: this server runs {self._model_name!r}."
            raise JobFailed(Failure("not_found", message, "model"))


class _JobStream(EventSourceResponse):
    """Server-sent events of a job, which ends with the response: however that ends, and even if it never began."""

    def __init__(self, job: Job, chunks: AsyncIterator[str]) -> None:
        super().__init__(chunks, ping=_PING_S, sep="\n", shutdown_grace_period=SHUTDOWN_GRACE_S)
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._job.cancel()


async def _chunks(job: Job, writer: AnswerWriter, *, usage: bool) -> AsyncIterator[str]:
    for chunk in writer.opening():
        yield json.dumps(chunk)
    try:
        async for event in job.events():
            for chunk in writer.chunks(event):
                yield json.dumps(chunk)
    except JobFailed as failed:
        yield json.dumps(failure_body(failed.failure)[1])
        return
    if usage:
        yield json.dumps(writer.usage_chunk())
    yield "[DONE]"


async def _cancel_when_gone(request: Request, job: Job) -> None:
    """Cancel the job when the client goes away; the body has been read, so all that can still come is that."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    job.cancel()


async def _read_json(request: Request) -> Any:
    """The body as JSON. Raises RequestError when it is too long or no JSON."""
    body = bytearray()
    length = 0
    async for piece in request.stream():
        length += len(piece)
        # The rest of a body that is too long is read and dropped, so that the client gets to the answer.
        if length <= BODY_LIMIT_BYTES:
            body += piece
        elif length > 4 * BODY_LIMIT_BYTES:
            break
    if length > BODY_LIMIT_BYTES:
        raise RequestError(f"The request body is over {BODY_LIMIT_BYTES // 2**20} MB: send a shorter conversation.")
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise RequestError(f"The request body is not valid JSON: {error}.") from None


def _invalid(message: str, param: str | None) -> Response:
    return JSONResponse(error_body(message, "invalid_request_error", param), 400)


async def _on_request_error(request: Request, error: Exception) -> Response:
    return _invalid(str(error), error.param if isinstance(error, RequestError) else None)


async def _on_config_error(request: Request, error: Exception) -> Response:
    return _invalid(str(error), error.field if isinstance(error, ConfigError) else None)


async def _on_job_failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, JobFailed)
    status, body = failure_body(error.failure)
    return JSONResponse(body, status)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path} is not served here: {error.detail}."
    return JSONResponse(error_body(message, "invalid_request_error"), error.status_code, error.headers)


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return _invalid("The client went away before the request was complete.", None)


async def _on_bug(request: Request, error: Exception) -> Response:
    return JSONResponse(error_body(f"The server failed: {type(error).__name__}: {error}", "server_error"), 500)
