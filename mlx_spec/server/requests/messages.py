"""The turns of a conversation as clients send them, and as chat templates know them."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from mlx_spec.models.text.reasoning import CLOSE, OPEN
from mlx_spec.server.requests.validation import RequestError, shown


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


def _thought(value: object) -> object:
    """What an answer thought: text. Some clients send it back in other shapes, which no template knows."""
    return checked_text(value) if isinstance(value, str) and value.strip() else None


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
    tool_name: str | None = None
    reasoning_content: Annotated[str | None, BeforeValidator(_thought)] = None
    reasoning: Annotated[str | None, BeforeValidator(_thought)] = None

    def as_turn(self) -> dict[str, Any]:
        """The turn as chat templates know it: role and content, and what belongs to calls and their results."""
        role = {"developer": "system", "function": "tool"}.get(self.role, self.role)
        turn: dict[str, Any] = {"role": role, "content": self.content}
        if role == "tool":
            about = {"name": self.name or self.tool_name, "tool_call_id": self.tool_call_id}
            return turn | {key: value for key, value in about.items() if value is not None}
        if role == "user" and self.name:
            turn["name"] = self.name
        if role == "assistant":
            if (thought := self.reasoning_content or self.reasoning) and not self.content.lstrip().startswith(OPEN):
                turn["content"] = f"{OPEN}\n{thought.strip()}\n{CLOSE}\n\n{self.content}"
            calls = [*(self.tool_calls or ()), *([ToolCall(function=self.function_call)] if self.function_call else [])]
            return turn | ({"tool_calls": [call.as_call() for call in calls]} if calls else {})
        return turn


def turns_of(messages: Sequence[ChatMessage]) -> tuple[dict[str, Any], ...]:
    """The turns of a conversation as chat templates know them. Raises RequestError where there is none, and where a
    tool tells what came of a call that nobody made."""
    if not messages:
        raise RequestError("messages is empty: it must hold at least one message.", "messages")
    turns = tuple(message.as_turn() for message in messages)
    made: set[str] = set()
    num_calls = 0
    for place, turn in enumerate(turns):
        calls = turn.get("tool_calls", ())
        num_calls += len(calls)
        made |= {call["id"] for call in calls if "id" in call}
        if turn["role"] != "tool":
            continue
        call_id = turn.get("tool_call_id")
        if not num_calls or (call_id is not None and made and call_id not in made):
            what = "a call" if call_id is None else f"the call {shown(call_id)}"
            message = (
                f"messages[{place}] tells what came of {what}, which no message of the assistant's before it made."
            )
            raise RequestError(message, f"messages[{place}]")
    return turns
