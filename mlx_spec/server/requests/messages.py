"""The turns of a conversation as clients send them, and as chat templates know them."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict


def whole_text(value: object) -> object:
    """Content as one string: OpenAI also allows a list of text parts, and no content for an assistant's turn."""
    expected = "a string or a list of text parts (images, sound and files are not supported)"
    if value is None:
        return ""
    if isinstance(value, list):
        parts = [part.get("text") for part in value if isinstance(part, dict) and part.get("type") == "text"]
        texts = [text for text in parts if isinstance(text, str)]
        if len(texts) != len(value):
            raise ValueError(expected)
        value = "".join(texts)
    if not isinstance(value, str):
        raise ValueError(expected)
    return checked_text(value)


def checked_text(value: str) -> str:
    """Raise ValueError for half of a surrogate pair, which is no text."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("text of whole characters: it holds half of a surrogate pair") from None
    return value


def _arguments(value: object) -> object:
    """What a function was called with: OpenAI has a JSON text, templates have its object."""
    if isinstance(value, str):
        checked_text(value)
        try:
            found = json.loads(value or "{}")
        except (ValueError, RecursionError):
            return value
        return found if isinstance(found, dict) else value
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("a JSON object, or one as text")
    return value


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class CalledFunction(_Said):
    """The name and the arguments of a call."""

    name: str
    arguments: Annotated[dict[str, Any] | str, BeforeValidator(_arguments)] = {}


class ToolCall(_Said):
    """A call that an assistant made in an earlier turn."""

    id: str | None = None
    function: CalledFunction

    def as_call(self) -> dict[str, Any]:
        """The call as chat templates know it."""
        name = {} if self.id is None else {"id": self.id}
        return name | {"type": "function", "function": self.function.model_dump()}


class ChatMessage(_Said):
    """One turn. `developer` is OpenAI's newer name of `system`, and `function` its older one of `tool`."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[str, BeforeValidator(whole_text)] = ""
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: CalledFunction | None = None
    tool_call_id: str | None = None

    def as_turn(self) -> dict[str, Any]:
        """The turn as chat templates know it: role and content, and what belongs to calls and their results."""
        role = {"developer": "system", "function": "tool"}.get(self.role, self.role)
        turn: dict[str, Any] = {"role": role, "content": self.content}
        if role == "tool":
            about = {"name": self.name, "tool_call_id": self.tool_call_id}
            return turn | {key: value for key, value in about.items() if value is not None}
        if role == "assistant":
            calls = [*(self.tool_calls or ()), *([ToolCall(function=self.function_call)] if self.function_call else [])]
            return turn | ({"tool_calls": [call.as_call() for call in calls]} if calls else {})
        return turn
