"""The routes of `/api/…`."""

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mlx_spec.server.answers.errors import Json
from mlx_spec.server.faces.ollama.facts import listed, shown, size_of
from mlx_spec.server.faces.ollama.request import RENAMED, OllamaRequest, model_of, parse_generate, parse_ollama_chat
from mlx_spec.server.faces.ollama.writer import ChatWriter, GenerateWriter
from mlx_spec.server.faces.said import renaming
from mlx_spec.server.faces.telling import LineStream, whole
from mlx_spec.server.names import Listed
from mlx_spec.server.reception import Reception
from mlx_spec.server.requests.body import read_json

VERSION: Final = "0.13.0"
"""The Ollama whose protocol this is: clients ask what they may expect."""
_FOR_EVER: Final = "2318-11-02T00:00:00Z"


class OllamaRoutes:
    """Ollama's protocol over `reception`."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/api/version", self.version, methods=["GET"]),
            Route("/api/tags", self.tags, methods=["GET"]),
            Route("/api/ps", self.running, methods=["GET"]),
            Route("/api/show", self.show, methods=["POST"]),
            Route("/api/chat", self.chat, methods=["POST"]),
            Route("/api/generate", self.generate, methods=["POST"]),
        ]

    async def version(self, request: Request) -> Response:
        """Which Ollama this is like."""
        return JSONResponse({"version": VERSION})

    async def tags(self, request: Request) -> Response:
        """The models that may be asked for."""
        pair_of = self._reception.engine.pair_of

        def look() -> list[Json]:
            own = listed(self._own(), pair_of(None))
            return [own, *(listed(one, pair_of(one.name)) for one in self._reception.names.others())]

        return JSONResponse({"models": await run_in_threadpool(look)})

    async def running(self, request: Request) -> Response:
        """The models in memory."""
        engine = self._reception.engine

        def look() -> list[Json]:
            others = {one.name: one for one in self._reception.names.others()}
            return [
                self._loaded(self._own() if name is None else others.get(name, Listed(name=name)), name)
                for name in engine.loaded()
            ]

        return JSONResponse({"models": await run_in_threadpool(look)})

    async def show(self, request: Request) -> Response:
        """What is known of a model."""
        name = await self._reception.found(model_of(await read_json(request)))
        pair = self._reception.engine.pair_of(name)

        def look() -> Json:
            others = self._reception.names.others() if name is not None else []
            model = next((one for one in others if one.name == name), self._own())
            return shown(model, pair)

        return JSONResponse(await run_in_threadpool(look))

    async def chat(self, request: Request) -> Response:
        """Answer a conversation."""
        with renaming(RENAMED):
            asked = parse_ollama_chat(await read_json(request))
            return await self._answer(request, asked, ChatWriter(asked.model))

    async def generate(self, request: Request) -> Response:
        """Answer a prompt, or go on with it."""
        with renaming(RENAMED):
            asked = parse_generate(await read_json(request))
            return await self._answer(request, asked, GenerateWriter(asked.model))

    async def _answer(self, request: Request, asked: OllamaRequest, writer: ChatWriter) -> Response:
        if asked.asked is None:
            return await self._only_load(asked, writer)
        async with self._reception.answering(request, asked.asked) as jobs:
            if not asked.streams:
                return JSONResponse(await whole(jobs[0], writer))
            await jobs[0].begun(self._reception.patience.begun_s)
            return LineStream(jobs[0], writer)

    async def _only_load(self, asked: OllamaRequest, writer: ChatWriter) -> Response:
        """A request without a question loads the model, or lets it go."""
        engine, model = self._reception.engine, await self._reception.found(asked.model)
        await (engine.wanted(model) if asked.keeps else engine.let_go(model))
        return JSONResponse(writer.answer() | {"done": True, "done_reason": "load" if asked.keeps else "unload"})

    def _own(self) -> Listed:
        return self._reception.names.own_listed(self._reception.engine.pair)

    def _loaded(self, model: Listed, name: str | None) -> Json:
        pair = self._reception.engine.pair_of(name)
        size = size_of(model, pair)
        context = pair.context_length if pair is not None else None
        return listed(model, pair) | {"expires_at": _FOR_EVER, "size_vram": size, "context_length": context}
