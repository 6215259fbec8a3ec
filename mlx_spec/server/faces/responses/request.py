"""What `POST /v1/responses` may ask for, and the chat that it comes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mlx_spec.server.answers.errors import Json
from mlx_spec.server.faces.responses.items import items_of, messages_of
from mlx_spec.server.faces.said import list_at, nothing_of, object_at, refused, string_at
from mlx_spec.server.requests.completions import ChatRequest, parse_chat
from mlx_spec.server.requests.validation import RequestError, object_of, shown

RENAMED: Final = {
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "messages": "input",
}
"""Fields of the chat by the names that they have here."""
_TRANSLATED: Final = frozenset(
    {"input", "instructions", "previous_response_id", "max_output_tokens", "text", "reasoning", "tools", "tool_choice"}
    | {"store", "metadata", "truncation", "include", "background", "stream_options", "top_logprobs", "max_tool_calls"}
    | {"messages", "response_format", "functions", "max_tokens", "max_completion_tokens", "logprobs"}
)
_NOTHING: Final[dict[str, tuple[object, ...]]] = {
    "background": (False,),
    "conversation": (),
    "prompt": (),
}
_LOGPROBS: Final = "message.output_text.logprobs"
_INCLUDED: Final = frozenset(
    {_LOGPROBS, "reasoning.encrypted_content", "web_search_call.action.sources", "file_search_call.results"}
    | {"code_interpreter_call.outputs", "computer_call_output.output.image_url", "message.input_image.image_url"}
)
"""What may be included. But for the log-probabilities it is of things that this server's answers never have, or have
in plain words."""
_HOSTED: Final = frozenset(
    {"web_search", "web_search_preview", "file_search", "code_interpreter", "image_generation", "mcp", "computer"}
    | {"computer_use_preview", "local_shell", "shell", "apply_patch", "custom", "tool_search", "namespace"}
)
"""Tools of OpenAI's own: the model never hears of them, and so never calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRequest:
    """`items` are the whole conversation, of which the first `before` are from the responses before it. `told` are the
    fields that the answer repeats."""

    chat: ChatRequest
    items: list[Json]
    before: int
    is_kept: bool
    told: Json = field(default_factory=dict)


def parse_response(body: object, history: list[Json], known: Mapping[str, Json]) -> ResponseRequest:
    """The request in `body`, a parsed JSON value, that goes on with the items of `history`. What it may refer to are
    `known` items. Raises RequestError."""
    said = object_of(body)
    nothing_of(said, _NOTHING)
    _check_values(said)
    items = [*history, *items_of(said.get("input"), known)]
    messages = messages_of(items, len(history))
    if (instructions := said.get("instructions")) is not None:
        messages.insert(0, {"role": "system", "content": string_at(instructions, "instructions")})
    tools, choice = _tools(said)
    chat = {name: value for name, value in said.items() if name not in _TRANSLATED}
    chat |= {"messages": messages, "max_completion_tokens": said.get("max_output_tokens")}
    chat |= {"tools": tools or None, "tool_choice": choice if tools else None}
    chat |= _text_format(said) | _reasoning(said) | _logprobs(said)
    return ResponseRequest(
        chat=parse_chat({name: value for name, value in chat.items() if value is not None}),
        items=items,
        before=len(history),
        is_kept=said.get("store") is not False,
        told=_told(said),
    )


def _check_values(said: Json) -> None:
    """Values of fields that are known here, and that no other model looks at."""
    kinds: dict[str, tuple[type, str]] = {"store": (bool, "true or false"), "metadata": (dict, "a JSON object")}
    kinds |= {"max_tool_calls": (int, "a whole number"), "max_output_tokens": (int, "a whole number")}
    for name, (kind, must) in kinds.items():
        value = said.get(name)
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise refused(name, value, must)
    if said.get("truncation") not in (None, "auto", "disabled"):
        raise refused("truncation", said["truncation"], "one of 'auto', 'disabled'")
    if said.get("max_output_tokens") is not None and said["max_output_tokens"] < 1:
        raise refused("max_output_tokens", said["max_output_tokens"], "a whole number of at least 1")
    for i, name in enumerate(list_at(said.get("include"), "include")):
        if name not in _INCLUDED:
            raise refused(f"include[{i}]", name, f"one of {', '.join(sorted(_INCLUDED))}")


def _tools(said: Json) -> tuple[list[Json], object]:
    """The functions and the choice among them, as a chat has both."""
    functions = []
    for i, one in enumerate(list_at(said.get("tools"), "tools")):
        kind = object_at(one, f"tools[{i}]").get("type")
        if kind in _HOSTED:
            continue
        if kind != "function":
            raise refused(f"tools[{i}].type", kind, "'function'")
        string_at(one.get("name"), f"tools[{i}].name")
        function = {name: one[name] for name in ("name", "description", "parameters", "strict") if one.get(name)}
        functions.append({"type": "function", "function": function})
    return _chosen(functions, said.get("tool_choice"))


def _chosen(functions: list[Json], choice: object) -> tuple[list[Json], object]:
    match choice:
        case None | "auto" | "none" | "required":
            return functions, choice
        case {"type": "function", "name": str(name)}:
            _check_is_given(name, functions, "tool_choice.name")
            return functions, {"type": "function", "function": {"name": name}}
        case {"type": "allowed_tools", "tools": list(allowed)}:
            names = [one.get("name") for one in allowed if isinstance(one, dict)]
            for i, allowed_name in enumerate(names):
                _check_is_given(allowed_name, functions, f"tool_choice.tools[{i}].name")
            mode = choice.get("mode", "auto") if isinstance(choice, dict) else "auto"
            if mode not in ("auto", "required"):
                raise refused("tool_choice.mode", mode, "one of 'auto', 'required'")
            chosen = [{"type": "function", "function": {"name": one}} for one in names]
            return functions, {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": chosen}}
        case _:
            raise refused("tool_choice", choice, "'auto', 'none', 'required', one function, or allowed_tools")


def _check_is_given(name: object, functions: list[Json], path: str) -> None:
    if name not in [one["function"]["name"] for one in functions]:
        raise RequestError(f"{path} is {shown(name)}: tools has no function of that name.", path)


def _text_format(said: Json) -> Json:
    text = said.get("text")
    if text is None:
        return {}
    wanted = object_at(text, "text").get("format")
    if wanted is None:
        return {}
    match object_at(wanted, "text.format").get("type"):
        case "text":
            return {}
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "json_schema":
            inner = {name: wanted[name] for name in ("name", "description", "schema", "strict") if name in wanted}
            return {"response_format": {"type": "json_schema", "json_schema": inner}}
        case kind:
            raise refused("text.format.type", kind, "one of 'text', 'json_object', 'json_schema'")


def _reasoning(said: Json) -> Json:
    asked = said.get("reasoning")
    effort = None if asked is None else object_at(asked, "reasoning").get("effort")
    summary = None if asked is None else asked.get("summary")
    if summary not in (None, "auto", "concise", "detailed"):
        raise refused("reasoning.summary", summary, "one of 'auto', 'concise', 'detailed'")
    return {} if effort is None else {"reasoning_effort": string_at(effort, "reasoning.effort")}


def _logprobs(said: Json) -> Json:
    """A number of the likeliest asks for them by itself, as clients were seen to leave out the other."""
    top = said.get("top_logprobs")
    asked = _LOGPROBS in list_at(said.get("include"), "include") or top not in (None, 0)
    return {"logprobs": True, "top_logprobs": top} if asked else {}


def _told(said: Json) -> Json:
    """The fields that an answer repeats, as they were asked for or are without being asked for."""

    def given(name: str, usual: Any) -> Any:
        value = said.get(name)
        return usual if value is None else value

    reasoning: Json = given("reasoning", {})
    text: Json = given("text", {})
    return {
        "previous_response_id": said.get("previous_response_id"),
        "instructions": said.get("instructions"),
        "tools": [_told_tool(one) for one in given("tools", [])],
        "tool_choice": given("tool_choice", "auto"),
        "truncation": given("truncation", "disabled"),
        "parallel_tool_calls": given("parallel_tool_calls", True),
        "text": {"format": _told_format(text.get("format"))}
        | {k: v for k, v in text.items() if k == "verbosity" and v},
        "presence_penalty": given("presence_penalty", 0),
        "frequency_penalty": given("frequency_penalty", 0),
        "top_logprobs": given("top_logprobs", 0),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "max_output_tokens": said.get("max_output_tokens"),
        "max_tool_calls": said.get("max_tool_calls"),
        "store": given("store", True),
        "background": False,
        "service_tier": "default",
        "metadata": given("metadata", {}),
        "safety_identifier": said.get("safety_identifier"),
        "prompt_cache_key": said.get("prompt_cache_key"),
    }


def _told_tool(tool: Json) -> Json:
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": None} | tool


def _told_format(wanted: Json | None) -> Json:
    if wanted is None:
        return {"type": "text"}
    if wanted.get("type") == "json_schema":
        return {"description": None, "strict": False} | wanted
    return wanted
