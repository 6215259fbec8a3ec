"""Responses that a later request may go on from, or ask for: in memory, the newest of them."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from mlx_spec.server.answers.errors import Json
from mlx_spec.server.engine.job import Failure, JobFailed

_MOST: Final = 1024
_MOST_CHARACTERS: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """A response, the items of its own input, and all items of the conversation up to its end."""

    resource: Json
    inputs: list[Json]
    items: list[Json]
    characters: int


class KeptResponses:
    """So many responses, and so many characters of them, that a conversation can go on; the oldest go first. They are
    gone with the process. For the asyncio loop alone."""

    def __init__(self, most: int = _MOST, most_characters: int = _MOST_CHARACTERS) -> None:
        self._most, self._most_characters = most, most_characters
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._characters = 0

    def keep(self, resource: Json, asked: list[Json], before: int) -> None:
        """Keep a response that is over. It was `asked` with these items, of which `before` are from earlier ones."""
        inputs = [{"id": f"msg_{uuid4().hex}"} | item for item in asked[before:]]
        items = [*asked[:before], *inputs, *resource["output"]]
        characters = sum(len(str(one)) for one in (resource, *inputs))
        self._kept[resource["id"]] = Kept(resource, inputs, items, characters)
        self._characters += characters
        while len(self._kept) > self._most or (self._characters > self._most_characters and len(self._kept) > 1):
            _, oldest = self._kept.popitem(last=False)
            self._characters -= oldest.characters

    def find(self, response_id: object, param: str = "response_id", code: str | None = None) -> Kept:
        """The response of that id. Raises JobFailed."""
        if isinstance(response_id, str) and (kept := self._kept.get(response_id)) is not None:
            return kept
        message = (
            f"There is no response {response_id!r} here: it was not kept, or is too long ago; send its items again."
        )
        raise JobFailed(Failure("not_found", message, param, code or "response_not_found"))

    def items(self) -> dict[str, Json]:
        """All items that have an id, by it."""
        every = (item for kept in self._kept.values() for item in kept.items)
        return {item["id"]: item for item in every if isinstance(item.get("id"), str)}

    def drop(self, response_id: str) -> None:
        """Forget a response. Raises JobFailed."""
        self._characters -= self.find(response_id).characters
        del self._kept[response_id]
