"""What `POST /v1/messages` may ask for, and the chat that it comes to."""

from dataclasses import dataclass
from typing import Final

from mlx_spec.server.answers.errors import Json
from mlx_spec.server.faces.anthropic.blocks import messages_of
from mlx_spec.server.faces.said import list_at, nothing_of, object_at, refused, string_at
from mlx_spec.server.requests.completions import ChatRequest, parse_chat
from mlx_spec.server.requests.validation import RequestError, object_of, shown

RENAMED: Final = {
    "max_completion_tokens": "max_tokens",
    "stop": "stop_sequences",
    "reasoning_effort": "output_config.effort",
    "response_format": "output_config.format",
    "thinking_token_budget": "thinking.budget_tokens",
}
"""Fields of the chat by the names that they have here."""
_TRANSLATED: Final = frozenset(
    {"messages", "system", "max_tokens", "stop_sequences", "tools", "tool_choice", "thinking", "metadata"}
    | {"output_config", "output_format", "service_tier", "max_completion_tokens", "stop", "functions"}
    | {"response_format", "stream_options", "n"}
)
_NOTHING: Final[dict[str, tuple[object, ...]]] = {
    "container": (),
    "mcp_servers": ([],),
    "logprobs": (False,),
    "top_logprobs": (0,),
}
_HOSTED: Final = ("web_search", "web_fetch", "code_execution", "tool_search")
"""Tools that Anthropic's own servers run: the model never hears of them, and so never calls them."""


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """`thinks`: what the model thinks is to be told. `stop` are the strings that end the answer."""

    chat: ChatRequest
    thinks: bool
    stop: tuple[str, ...]


def parse_messages(body: object, *, counts: bool = False) -> MessagesRequest:
    """The request in `body`, a parsed JSON value; one that only `counts` needs no limit. Raises RequestError."""
    said = object_of(body)
    nothing_of(said, _NOTHING)
    if "messages" not in said:
        raise RequestError("messages is missing.", "messages")
    limit = said.get("max_tokens")
    if not counts and (limit is None or isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        message = "max_tokens is missing." if limit is None else None
        raise RequestError(message, "max_tokens") if message else refused("max_tokens", limit, "a whole number, from 1")
    messages = messages_of(said.get("system"), said["messages"])
    tools = _tools(said)
    chat = {name: value for name, value in said.items() if name not in _TRANSLATED}
    chat |= {"messages": messages, "stop": said.get("stop_sequences")}
    chat |= {} if counts else {"max_completion_tokens": limit}
    chat |= _choice(said, tools) | _output(said)
    if messages and messages[-1]["role"] == "assistant":
        chat["continue_final_message"] = True
    thinks, template = _thinking(said)
    parsed = parse_chat({name: value for name, value in (chat | template).items() if value is not None})
    return MessagesRequest(parsed, thinks, parsed.stop)


def _tools(said: Json) -> list[Json]:
    functions = []
    for i, one in enumerate(list_at(said.get("tools"), "tools")):
        kind = object_at(one, f"tools[{i}]").get("type")
        if isinstance(kind, str) and kind.startswith(_HOSTED):
            continue
        if kind not in (None, "custom"):
            raise refused(f"tools[{i}].type", kind, "'custom', with an input_schema")
        name = string_at(one.get("name"), f"tools[{i}].name")
        schema = object_at(one.get("input_schema"), f"tools[{i}].input_schema")
        function = {"name": name, "parameters": schema}
        function |= {name: one[name] for name in ("description", "strict") if one.get(name)}
        functions.append({"type": "function", "function": function})
    return functions


def _choice(said: Json, tools: list[Json]) -> Json:
    choice = said.get("tool_choice")
    if choice is None:
        return {"tools": tools or None}
    parallel = object_at(choice, "tool_choice").get("disable_parallel_tool_use")
    asked: Json = {"tools": tools or None, "parallel_tool_calls": False if parallel else None}
    match choice.get("type"):
        case "auto" | "none" as kind:
            return asked | {"tool_choice": kind if tools else None}
        case "any":
            return asked | {"tool_choice": "required"}
        case "tool":
            name = string_at(choice.get("name"), "tool_choice.name")
            if name not in [one["function"]["name"] for one in tools]:
                message = f"tool_choice.name is {shown(name)}: tools has no tool of that name."
                raise RequestError(message, "tool_choice.name")
            return asked | {"tool_choice": {"type": "function", "function": {"name": name}}}
        case kind:
            raise refused("tool_choice.type", kind, "one of 'auto', 'any', 'tool', 'none'")


def _thinking(said: Json) -> tuple[bool, Json]:
    """Whether what is thought is to be told, and what the template hears of it."""
    asked = said.get("thinking")
    if asked is None:
        return False, {}
    match object_at(asked, "thinking").get("type"):
        case "enabled" | "adaptive":
            budget = asked.get("budget_tokens")
            if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < 1):
                raise refused("thinking.budget_tokens", budget, "a whole number of at least 1")
            return True, {} if budget is None else {"thinking_token_budget": budget}
        case "disabled":
            return False, {"reasoning_effort": "none"}
        case kind:
            raise refused("thinking.type", kind, "one of 'enabled', 'adaptive', 'disabled'")


def _output(said: Json) -> Json:
    config = object_at(said.get("output_config") or {}, "output_config")
    told: Json = {}
    if (effort := config.get("effort")) is not None:
        told["reasoning_effort"] = string_at(effort, "output_config.effort")
    wanted = config.get("format", said.get("output_format"))
    if wanted is not None:
        kind = object_at(wanted, "output_config.format").get("type")
        if kind != "json_schema":
            raise refused("output_config.format.type", kind, "'json_schema'")
        schema = {"name": "answer", "schema": wanted.get("schema"), "strict": True}
        told["response_format"] = {"type": "json_schema", "json_schema": schema}
    return told
