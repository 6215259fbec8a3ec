"""The routes of `/v1/responses`."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mlx_spec.server.answers.errors import Json
from mlx_spec.server.engine.job import Job
from mlx_spec.server.faces.counting import num_tokens
from mlx_spec.server.faces.responses.kept import KeptResponses
from mlx_spec.server.faces.responses.request import RENAMED, ResponseRequest, parse_response
from mlx_spec.server.faces.responses.writer import ResponseWriter
from mlx_spec.server.faces.said import renaming, string_at
from mlx_spec.server.faces.telling import EventStream, whole
from mlx_spec.server.reception import Reception
from mlx_spec.server.requests.body import read_json
from mlx_spec.server.requests.validation import RequestError, object_of

_PATH = "/v1/responses"


class ResponsesRoutes:
    """OpenAI's Responses over `reception`."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._kept = KeptResponses()

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route(_PATH, self.create, methods=["POST"]),
            Route(f"{_PATH}/input_tokens", self.count, methods=["POST"]),
            Route(f"{_PATH}/{{response_id}}", self.retrieve, methods=["GET"]),
            Route(f"{_PATH}/{{response_id}}", self.delete, methods=["DELETE"]),
            Route(f"{_PATH}/{{response_id}}/cancel", self.cancel, methods=["POST"]),
            Route(f"{_PATH}/{{response_id}}/input_items", self.inputs, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        """Answer, whole or as events."""
        with renaming(RENAMED):
            asked = self._parsed(await read_json(request))
            async with self._reception.answering(request, asked.chat) as jobs:
                job = jobs[0]
                writer = self._writer(asked, job)
                if not asked.chat.stream:
                    return JSONResponse(await whole(job, writer))
                patience = self._reception.patience
                begun = await job.begun(patience.begun_s)
                return EventStream(job, writer, ping=not begun, ping_s=patience.ping_s, last="[DONE]")

    async def count(self, request: Request) -> Response:
        """How many tokens the input would take."""
        with renaming(RENAMED):
            asked = self._parsed(await read_json(request))
            tokens = await num_tokens(self._reception, asked.chat)
        return JSONResponse({"object": "response.input_tokens", "input_tokens": tokens})

    async def retrieve(self, request: Request) -> Response:
        """A response that is kept."""
        return JSONResponse(self._kept.find(request.path_params["response_id"]).resource)

    async def delete(self, request: Request) -> Response:
        """Forget a response."""
        response_id = request.path_params["response_id"]
        self._kept.drop(response_id)
        return JSONResponse({"id": response_id, "object": "response", "deleted": True})

    async def cancel(self, request: Request) -> Response:
        """Only background responses can be cancelled, and there are none."""
        self._kept.find(request.path_params["response_id"])
        message = "This response was not made in the background, so it cannot be cancelled: close its connection."
        raise RequestError(message, "response_id")

    async def inputs(self, request: Request) -> Response:
        """The items that a response was asked with, the newest first, as OpenAI has them."""
        kept = self._kept.find(request.path_params["response_id"])
        order, items = request.query_params.get("order", "desc"), list(kept.inputs)
        if order == "desc":
            items.reverse()
        ids = [item.get("id") for item in items]
        edges = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
        return JSONResponse({"object": "list", "data": items, "has_more": False} | edges)

    def _parsed(self, body: object) -> ResponseRequest:
        said = object_of(body)
        history: list[Json] = []
        if (previous := said.get("previous_response_id")) is not None:
            string_at(previous, "previous_response_id")
            history = self._kept.find(previous, "previous_response_id", "previous_response_not_found").items
        return parse_response(said, history, self._kept.items() if _refers(said) else {})

    def _writer(self, asked: ResponseRequest, job: Job) -> ResponseWriter:
        pair = self._reception.engine.pair
        params = job.request.params_with(pair.sampling if pair is not None else {})
        told = asked.told | {"temperature": params.temperature, "top_p": params.top_p}

        def keep(resource: Json) -> None:
            if asked.is_kept:
                self._kept.keep(resource, asked.items, asked.before)

        name = asked.chat.model or self._reception.names.own
        return ResponseWriter(f"resp_{job.id.rpartition('-')[2]}", name, told, keep)


def _refers(said: Json) -> bool:
    items = said.get("input")
    return isinstance(items, list) and any(isinstance(one, dict) and "role" not in one for one in items)
