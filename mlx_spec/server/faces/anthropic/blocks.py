"""Anthropic's messages, made of blocks, as the messages of a chat."""

from typing import Any, Final

from mlx_spec.server.answers.errors import Json
from mlx_spec.server.faces.said import list_at, no_text, object_at, refused, string_at, text_at
from mlx_spec.server.requests.validation import RequestError, shown

_TEXT: Final = {"text": "text"}
_OF_USER: Final = {"text": "text", "tool_result": "content", "document": "source"}
_OF_ASSISTANT: Final = {"text": "text", "tool_use": "input", "thinking": "thinking", "redacted_thinking": "data"}


def messages_of(system: object, messages: object) -> list[Json]:
    """The messages of a chat. Raises RequestError."""
    told: list[Json] = []
    if said := text_at(system, "system", _TEXT):
        told.append({"role": "system", "content": said})
    calls: set[str] = set()
    for i, one in enumerate(list_at(messages, "messages")):
        path, message = f"messages[{i}]", object_at(one, f"messages[{i}]")
        match message.get("role"):
            case "user":
                told += _of_user(message.get("content"), f"{path}.content", calls)
            case "assistant":
                told.append(_of_assistant(message.get("content"), f"{path}.content", calls))
            case "system":
                told.append({"role": "system", "content": text_at(message.get("content"), f"{path}.content", _TEXT)})
            case role:
                raise refused(f"{path}.role", role, "one of 'user', 'assistant'")
    return told


def _of_user(content: object, path: str, calls: set[str]) -> list[Json]:
    """The results of calls, and behind them what else was said."""
    if not isinstance(content, list):
        return [{"role": "user", "content": text_at(content, path, _TEXT)}]
    results, said = [], []
    for i, one in enumerate(content):
        at, block = f"{path}[{i}]", object_at(one, f"{path}[{i}]")
        match block.get("type"):
            case "text":
                said.append(string_at(block.get("text"), f"{at}.text"))
            case "tool_result":
                results.append(_result(block, at, calls))
            case "document" if object_at(block.get("source"), f"{at}.source").get("type") == "text":
                said.append(string_at(block["source"].get("data"), f"{at}.source.data"))
            case kind:
                raise no_text(f"{at}.type", kind, _OF_USER)
    return [*results, *([{"role": "user", "content": "".join(said)}] if said or not results else [])]


def _result(block: Json, path: str, calls: set[str]) -> Json:
    call_id = string_at(block.get("tool_use_id"), f"{path}.tool_use_id")
    if call_id not in calls:
        message = f"{path}.tool_use_id is {shown(call_id)}: no tool_use before it has that id; send the call, too."
        raise RequestError(message, f"{path}.tool_use_id")
    text = text_at(block.get("content"), f"{path}.content", _TEXT)
    if block.get("is_error"):
        text = f"Error: {text}"
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def _of_assistant(content: object, path: str, calls: set[str]) -> Json:
    if not isinstance(content, list):
        return {"role": "assistant", "content": text_at(content, path, _TEXT)}
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    for i, one in enumerate(content):
        at, block = f"{path}[{i}]", object_at(one, f"{path}[{i}]")
        match block.get("type"):
            case "text":
                message["content"] += string_at(block.get("text"), f"{at}.text")
            case "thinking":
                thought = string_at(block.get("thinking"), f"{at}.thinking")
                message["reasoning_content"] = message.get("reasoning_content", "") + thought
            case "redacted_thinking":
                pass
            case "tool_use":
                call_id = string_at(block.get("id"), f"{at}.id")
                calls.add(call_id)
                arguments = object_at(block.get("input", {}), f"{at}.input")
                function = {"name": string_at(block.get("name"), f"{at}.name"), "arguments": arguments}
                message.setdefault("tool_calls", []).append({"id": call_id, "type": "function", "function": function})
            case kind:
                raise no_text(f"{at}.type", kind, _OF_ASSISTANT)
    return message
