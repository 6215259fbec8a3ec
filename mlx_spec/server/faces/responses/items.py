"""The items of a conversation, as the messages of a chat."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mlx_spec.server.answers.errors import Json
from mlx_spec.server.faces.said import list_at, object_at, refused, string_at, text_at
from mlx_spec.server.requests.validation import RequestError, shown

_ROLES: Final = ("user", "assistant", "system", "developer")
_TEXTS: Final = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_OUTPUTS: Final = {"input_text": "text", "output_text": "text", "text": "text"}
_THOUGHTS: Final = {"reasoning_text": "text", "summary_text": "text", "text": "text"}
_KNOWN: Final = "one of message, reasoning, function_call, function_call_output, item_reference"


def items_of(value: object, known: Mapping[str, Json]) -> list[Json]:
    """The items of `input`: a string is one message of the user's. What an `item_reference` names is among `known`.
    Raises RequestError."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": string_at(value, "input")}]
    if value is None:
        raise RequestError("input is missing.", "input")
    return [_item(one, f"input[{i}]", known) for i, one in enumerate(list_at(value, "input"))]


def _item(value: object, path: str, known: Mapping[str, Json]) -> Json:
    item = object_at(value, path)
    if item.get("type") != "item_reference" and ("role" in item or item.get("type") is not None):
        return {"type": "message"} | item
    name = item.get("id")
    if not isinstance(name, str) or name not in known:
        raise refused(f"{path}.id", name, "the id of an item of a response that is kept here")
    return known[name]


def messages_of(items: Sequence[Json], first: int = 0) -> list[Json]:
    """The messages that `items` stand for: what an assistant thinks, says and calls in a row is one. Errors
    count from the item `first`, with which the request's own begin. Raises RequestError."""
    turns = _Turns()
    for i, item in enumerate(items):
        turns.add(item, f"input[{i - first}]" if i >= first else "previous_response_id")
    return turns.messages


class _Turns:
    def __init__(self) -> None:
        self.messages: list[Json] = []
        self._calls: set[str] = set()

    def add(self, item: Json, path: str) -> None:
        match item.get("type"):
            case "message":
                self._say(item, path)
            case "reasoning":
                self._think(item, path)
            case "function_call":
                self._call(item, path)
            case "function_call_output":
                self._result(item, path)
            case kind:
                raise refused(f"{path}.type", kind, _KNOWN)

    def _say(self, item: Json, path: str) -> None:
        role = item.get("role")
        if role not in _ROLES:
            raise refused(f"{path}.role", role, f"one of {', '.join(_ROLES)}")
        text = text_at(item.get("content"), f"{path}.content", _TEXTS)
        if role != "assistant":
            self.messages.append({"role": role, "content": text})
            return
        turn = self._assistant()
        if turn["content"] or "tool_calls" in turn:
            turn = self._new_assistant()
        turn["content"] = text

    def _think(self, item: Json, path: str) -> None:
        content = item.get("content") or item.get("summary")
        if thought := text_at(content, f"{path}.content", _THOUGHTS):
            turn = self._assistant()
            if turn["content"] or "tool_calls" in turn:
                turn = self._new_assistant()
            turn["reasoning_content"] = turn.get("reasoning_content", "") + thought

    def _call(self, item: Json, path: str) -> None:
        call_id = string_at(item.get("call_id"), f"{path}.call_id")
        name = string_at(item.get("name"), f"{path}.name")
        arguments = string_at(item.get("arguments", "{}"), f"{path}.arguments")
        self._calls.add(call_id)
        function = {"name": name, "arguments": arguments}
        call: dict[str, Any] = {"id": call_id, "type": "function", "function": function}
        self._assistant().setdefault("tool_calls", []).append(call)

    def _result(self, item: Json, path: str) -> None:
        call_id = string_at(item.get("call_id"), f"{path}.call_id")
        if call_id not in self._calls:
            message = f"{path}.call_id is {shown(call_id)}: no function_call before it has that id; send the call, too."
            raise RequestError(message, f"{path}.call_id")
        text = text_at(item.get("output"), f"{path}.output", _OUTPUTS)
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": text})

    def _assistant(self) -> Json:
        """The assistant's turn that goes on."""
        if self.messages and self.messages[-1]["role"] == "assistant":
            return self.messages[-1]
        return self._new_assistant()

    def _new_assistant(self) -> Json:
        self.messages.append({"role": "assistant", "content": ""})
        return self.messages[-1]
