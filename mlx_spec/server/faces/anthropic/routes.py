"""The routes of `/v1/messages`."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mlx_spec.server.faces.anthropic.request import RENAMED, parse_messages
from mlx_spec.server.faces.anthropic.writer import MessageWriter
from mlx_spec.server.faces.counting import num_tokens
from mlx_spec.server.faces.said import renaming
from mlx_spec.server.faces.telling import EventStream, whole
from mlx_spec.server.reception import Reception
from mlx_spec.server.requests.body import read_json


class AnthropicRoutes:
    """Anthropic's Messages over `reception`."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/v1/messages", self.create, methods=["POST"]),
            Route("/v1/messages/count_tokens", self.count, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        """Answer, whole or as events."""
        with renaming(RENAMED):
            asked = parse_messages(await read_json(request))
            async with self._reception.answering(request, asked.chat) as jobs:
                job = jobs[0]
                name = asked.chat.model or self._reception.names.own
                writer = MessageWriter(f"msg_{job.id.rpartition('-')[2]}", name, thinks=asked.thinks)
                if not asked.chat.stream:
                    return JSONResponse(await whole(job, writer))
                patience = self._reception.patience
                begun = await job.begun(patience.begun_s)
                return EventStream(job, writer, ping=not begun, ping_s=patience.ping_s)

    async def count(self, request: Request) -> Response:
        """How many tokens the messages would take."""
        with renaming(RENAMED):
            asked = parse_messages(await read_json(request), counts=True)
            tokens = await num_tokens(self._reception, asked.chat)
        return JSONResponse({"input_tokens": tokens})
