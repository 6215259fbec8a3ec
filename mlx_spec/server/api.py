"""The server's routes: docs/PROTOCOL.md over one engine thread. Nothing here touches an array."""

import time
from collections.abc import Awaitable, Callable, Collection, Sequence

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mlx_spec.decoding.measuring.ceiling import UNKNOWN_CEILING
from mlx_spec.server.answers.batch import batch_report
from mlx_spec.server.answers.card import model_card
from mlx_spec.server.answers.completions import AnswerWriter, CompletionWriter
from mlx_spec.server.answers.errors import HANDLERS, Json, error_body
from mlx_spec.server.answers.memory import memory_report
from mlx_spec.server.answers.metrics import METRICS_TYPE, metrics_text
from mlx_spec.server.answers.stream import USUAL_PATIENCE, JobStream, Patience
from mlx_spec.server.answers.tokenize import tokenize
from mlx_spec.server.doorway import Doorway
from mlx_spec.server.engine.job import Failure, JobFailed
from mlx_spec.server.engine.thread import EngineThread
from mlx_spec.server.faces.anthropic.routes import AnthropicRoutes
from mlx_spec.server.faces.ollama.routes import OllamaRoutes
from mlx_spec.server.faces.responses.routes import ResponsesRoutes
from mlx_spec.server.guard import LOOPBACK_NAMES, Guard, KeyCheck, cross_origin
from mlx_spec.server.library.routes import LibraryRoutes
from mlx_spec.server.names import Listed, Names
from mlx_spec.server.reception import Reception
from mlx_spec.server.requests.body import read_json
from mlx_spec.server.requests.completions import ChatRequest, CompletionRequest, parse_chat, parse_completion
from mlx_spec.server.requests.fields import parse_key
from mlx_spec.server.requests.memory import unload_after
from mlx_spec.server.requests.speculation import SteeringRequest
from mlx_spec.server.requests.tokenize import parse_tokenize
from mlx_spec.server.requests.validation import RequestError, validated


def create_app(
    engine: EngineThread,
    *,
    api_key: str | None,
    allowed_hosts: Collection[str] | None = LOOPBACK_NAMES,
    allowed_origins: Collection[str] = (),
    model_name: str,
    aliases: Collection[str] = (),
    others: Callable[[], Sequence[Listed]] | None = None,
    library: LibraryRoutes | None = None,
    patience: Patience = USUAL_PATIENCE,
    kv_bits: int | None = None,
    group: Callable[[], Json] | None = None,
) -> Starlette:
    """The ASGI app over a started `engine`.

    `model_name` is what /v1/models shows; requests may also say one of `aliases`, the loaded pair's or target's name or
    "default", and what `others` lists, which the engine must be able to load. `allowed_hosts` None allows every Host,
    which is only safe with an `api_key`. Pages of `allowed_origins` may ask too. `kv_bits` is what /v1/models says of
    the model's keys and values. `group` tells of the machines that answer together, where there are several.
    """
    reception = Reception(engine, Names(model_name, aliases, others), patience)
    api = _Api(reception, kv_bits, group)
    return Starlette(
        routes=[
            Route("/", api.greet, methods=["GET"]),
            Route("/health", api.health, methods=["GET"]),
            Route("/v1/models", api.models, methods=["GET"]),
            Route("/v1/models/memory", api.memory, methods=["GET", "PUT"]),
            *(library or LibraryRoutes()).routes(),
            Route("/v1/models/{name:path}", api.model, methods=["GET"]),
            Route("/v1/chat/completions", api.chat, methods=["POST"]),
            Route("/v1/completions", api.completion, methods=["POST"]),
            *ResponsesRoutes(reception).routes(),
            *AnthropicRoutes(reception).routes(),
            *OllamaRoutes(reception).routes(),
            Route("/v1/prefixes", api.forget, methods=["DELETE"]),
            Route("/v1/prefixes/{key:path}", api.forget, methods=["DELETE"]),
            *(
                [Route("/v1/group", lambda request: JSONResponse(group()), methods=["GET"])]
                if group is not None
                else []
            ),
            Route("/v1/batch", api.batch, methods=["GET"]),
            Route("/v1/batch/{request_id}", api.cancel, methods=["DELETE"]),
            Route("/metrics", api.metrics, methods=["GET"]),
            Route("/v1/tokenize", api.tokenize, methods=["POST"]),
            Route("/v1/speculation/settings", api.steer, methods=["POST"]),
            Route("/v1/speculation/machine", api.machine, methods=["GET"]),
            Route("/v1/speculation/stats", api.stats, methods=["GET"]),
            Route("/v1/speculation/stats/reset", api.reset_stats, methods=["POST"]),
        ],
        middleware=[
            Middleware(Doorway),
            Middleware(Guard, allowed_hosts=allowed_hosts, allowed_origins=allowed_origins),
            *([cross_origin(allowed_origins)] if allowed_origins else []),
            Middleware(KeyCheck, api_key=api_key),
        ],
        exception_handlers=HANDLERS,
    )


def _telling(report: Callable[[], Json]) -> Callable[[Request], Awaitable[Response]]:
    async def tell(request: Request) -> Response:
        return JSONResponse(report())

    return tell


class _Api:
    def __init__(self, reception: Reception, kv_bits: int | None, group: Callable[[], Json] | None) -> None:
        self._reception, self._engine, self._kv_bits = reception, reception.engine, kv_bits
        self._group = group
        self._created = int(time.time())

    async def greet(self, request: Request) -> Response:
        return PlainTextResponse("Lookahead is running")

    async def health(self, request: Request) -> Response:
        status = self._engine.status()
        if self._group is not None and (group := self._group())["stage"] == "lost":
            # This process ends, and has failed; the server goes on in another, and who asks is to wait for that.
            return JSONResponse({"status": "loading", "message": group["message"]})
        return JSONResponse({"status": status.state, "message": status.message})

    async def models(self, request: Request) -> Response:
        others = await run_in_threadpool(self._reception.names.others)
        cards = [self._card(None), *(self._card(one.name) for one in others)]
        edges = {"has_more": False, "first_id": cards[0]["id"], "last_id": cards[-1]["id"]}
        return JSONResponse({"object": "list", "data": cards} | edges)

    async def model(self, request: Request) -> Response:
        return JSONResponse(self._card(await self._reception.found(request.path_params["name"])))

    async def memory(self, request: Request) -> Response:
        if request.method == "PUT":
            idle_s = unload_after(await read_json(request))
            if self._engine.unloading is None:
                raise RequestError("This server keeps its models.", "unload_after_s")
            self._engine.unloading.idle_s = idle_s
        return JSONResponse(await run_in_threadpool(memory_report, self._engine))

    async def tokenize(self, request: Request) -> Response:
        asked = parse_tokenize(await read_json(request))
        model = await self._reception.found(asked.model)
        pair = self._engine.pair if model is None else await self._reception.pair(asked.model)
        if pair is None:
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
        wish = validated(SteeringRequest, await read_json(request))
        return JSONResponse({"request": self._engine.steer(wish.request, wish.change)})

    async def chat(self, request: Request) -> Response:
        return await self._answer(request, parse_chat(await read_json(request)), AnswerWriter)

    async def completion(self, request: Request) -> Response:
        return await self._answer(request, parse_completion(await read_json(request)), CompletionWriter)

    async def forget(self, request: Request) -> Response:
        key = parse_key(request.path_params.get("key"))
        self._engine.forget_prefixes(key)
        return JSONResponse({"prompt_cache_key": key}, 202)

    async def metrics(self, request: Request) -> Response:
        return Response(metrics_text(self._engine), media_type=METRICS_TYPE)

    async def batch(self, request: Request) -> Response:
        return JSONResponse(batch_report(self._engine))

    async def cancel(self, request: Request) -> Response:
        request_id = request.path_params["request_id"]
        if not self._engine.cancel(request_id):
            raise JobFailed(Failure("not_found", f"No answer {request_id!r} is under way or waits.", "request"))
        return JSONResponse({"request": request_id})

    async def _answer(
        self, request: Request, chat: ChatRequest | CompletionRequest, writer_kind: type[AnswerWriter]
    ) -> Response:
        async with self._reception.answering(request, chat) as jobs:
            usage = bool(chat.stream and chat.wants_usage_chunk)
            writer = writer_kind(
                jobs[0].request.model or self._reception.names.own,
                jobs,
                events=chat.wants_events,
                usage=usage,
                choices_each=chat.n or 1,
            )
            if not chat.stream:
                for job in jobs:
                    async for event in job.events():
                        writer.add(event)
                return JSONResponse(writer.answer())
            patience = self._reception.patience
            begun = await jobs[0].begun(patience.begun_s)
            return JobStream(jobs, writer, usage=usage, ping=not begun, ping_s=patience.ping_s)

    def _card(self, model: str | None) -> Json:
        """Of a model that is in memory, or not."""
        pair = self._engine.pair_of(model)
        return model_card(
            model or self._reception.names.own,
            self._created,
            pair.context_length if pair else None,
            pair.drafters if pair else None,
            self._kv_bits,
            self._engine.exactness,
        )
