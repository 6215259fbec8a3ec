"""The parts of an answer in OpenAI's words: as deltas of a stream, and as one message."""

from collections.abc import Sequence
from typing import Any

from mlx_spec.models.text.parts import Content, Part, Reasoning, ToolArguments, ToolCallBegun
from mlx_spec.server.answers.errors import Json


def delta_of(part: Part) -> Json:
    """What a part adds to the message."""
    match part:
        case Content():
            return {"content": part.text}
        case Reasoning():
            return {"reasoning_content": part.text}
        case ToolCallBegun():
            function = {"name": part.name, "arguments": ""}
            return {"tool_calls": [{"index": part.index, "id": part.id, "type": "function", "function": function}]}
        case ToolArguments():
            return {"tool_calls": [{"index": part.index, "function": {"arguments": part.text}}]}


def message_of(parts: Sequence[Part]) -> Json:
    """The whole message. Its content is null where it only calls tools."""
    content = "".join(part.text for part in parts if isinstance(part, Content))
    thought = "".join(part.text for part in parts if isinstance(part, Reasoning))
    calls: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, ToolCallBegun):
            calls.append({"id": part.id, "type": "function", "function": {"name": part.name, "arguments": ""}})
        elif isinstance(part, ToolArguments):
            calls[part.index]["function"]["arguments"] += part.text
    message: Json = {"role": "assistant", "content": content if content or not calls else None, "refusal": None}
    return message | ({"reasoning_content": thought} if thought else {}) | ({"tool_calls": calls} if calls else {})


def reason_of(finish_reason: str, num_calls: int) -> str:
    """Why an answer ended, as OpenAI has it: one that calls tools ended for that."""
    return "tool_calls" if finish_reason == "stop" and num_calls else finish_reason
