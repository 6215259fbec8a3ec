"""What `POST /api/chat` and `/api/generate` may ask for, and the chat or the completion that they come to."""

from dataclasses import dataclass
from typing import Final

from mlx_spec.server.answers.errors import Json
from mlx_spec.server.faces.said import list_at, nothing_of, object_at, refused, string_at, text_at
from mlx_spec.server.requests.completions import ChatRequest, CompletionRequest, parse_chat, parse_completion
from mlx_spec.server.requests.foreign_fields import asked_foreign
from mlx_spec.server.requests.validation import RequestError, object_of, shown

_OPTIONS: Final = ("temperature", "top_p", "top_k", "min_p", "seed", "stop", "presence_penalty", "frequency_penalty")
_READ: Final = frozenset({*_OPTIONS, "num_predict"})
RENAMED: Final = {
    "max_tokens": "options.num_predict",
    "reasoning_effort": "think",
    "response_format": "format",
    **{name: f"options.{name}" for name in _OPTIONS},
}
"""Fields of the chat by the names that they have here."""
_NO_WORD: Final = frozenset(
    {"num_ctx", "num_keep", "num_batch", "num_gpu", "num_thread", "main_gpu", "low_vram", "f16_kv", "vocab_only"}
    | {"use_mmap", "use_mlock", "numa", "repeat_last_n", "penalize_newline", "draft_num_predict"}
)
"""Options that change no word of this server's answers, or none without others."""
_NOTHING: Final[dict[str, tuple[object, ...]]] = {"suffix": ("",), "template": ("",), "context": ([],)}
_EFFORTS: Final = ("low", "medium", "high", "max")
_TEXT: Final = {"text": "text"}
_EXTENSIONS: Final = ("speculation", "prompt_cache_key", "priority", "deadline_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaRequest:
    """`asked` is None where the client only wants the model loaded, or with `keeps` False let go. A client gets lines
    unless it says that it wants the whole."""

    asked: ChatRequest | CompletionRequest | None
    model: str
    streams: bool
    keeps: bool = True


def parse_ollama_chat(body: object) -> OllamaRequest:
    """The request of /api/chat in `body`, a parsed JSON value. Raises RequestError."""
    said = object_of(body)
    messages = _messages(said.get("messages"))
    if not messages:
        return _request(said, None)
    tools = _tools(said.get("tools"))
    chat = _chat(said) | {"messages": messages} | ({"tools": tools} if tools else {})
    if messages[-1]["role"] == "assistant":
        chat["continue_final_message"] = True
    return _request(said, parse_chat(chat))


def parse_generate(body: object) -> OllamaRequest:
    """The request of /api/generate in `body`, a parsed JSON value. Raises RequestError."""
    said = object_of(body)
    nothing_of(said, _NOTHING)
    _check_images(said.get("images"), "images")
    prompt = string_at(said.get("prompt") or "", "prompt")
    if not prompt:
        return _request(said, None)
    if said.get("raw"):
        completion = {"max_tokens": -1} | _shared(said) | {"prompt": prompt, "logprobs": _logprobs(said)}
        return _request(said, parse_completion(completion))
    system = string_at(said.get("system") or "", "system")
    messages = [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": prompt}]
    return _request(said, parse_chat(_chat(said) | {"messages": messages}))


def model_of(body: object) -> str:
    """The model that a request names. Raises RequestError."""
    said = object_of(body)
    name = said.get("model") or said.get("name")
    if not name:
        raise RequestError("model is missing.", "model")
    return string_at(name, "model")


def _request(said: Json, asked: ChatRequest | CompletionRequest | None) -> OllamaRequest:
    stream = said.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise refused("stream", stream, "true or false")
    model = model_of(said)
    keeps = str(said.get("keep_alive")) not in ("0", "0s", "0m", "0h", "0.0")
    return OllamaRequest(asked=asked, model=model, streams=stream is not False, keeps=keeps)


def _shared(said: Json) -> Json:
    """What a chat and a completion are asked for alike."""
    body: Json = {"model": model_of(said)} | {name: said[name] for name in _EXTENSIONS if name in said}
    options = object_at(said.get("options") or {}, "options")
    if (foreign := asked_foreign({name: value for name, value in options.items() if name not in _READ})) is not None:
        message = f"options.{foreign} is {shown(options[foreign])}: this server does not support it; leave it out."
        raise RequestError(message, f"options.{foreign}")
    for name, value in options.items():
        if value is None or name in _NO_WORD:
            continue
        if name in _OPTIONS:
            body[name] = value
        elif name == "num_predict":
            body["max_tokens"] = -1 if value == -2 else value  # -2 is: as many as the context has room for
    return body | _format(said.get("format")) | _think(said.get("think"))


def _chat(said: Json) -> Json:
    """What a chat is asked for, besides its messages and tools."""
    count = _logprobs(said)
    return _shared(said) | ({} if count is None else {"logprobs": True, "top_logprobs": count})


def _logprobs(said: Json) -> object:
    """How many of the likeliest tokens are told beside each; None for nothing."""
    wanted, count = said.get("logprobs"), said.get("top_logprobs")
    if wanted is not None and not isinstance(wanted, bool):
        raise refused("logprobs", wanted, "true or false")
    if wanted:
        return 0 if count is None else count
    if count not in (None, 0):
        raise RequestError(
            f"top_logprobs is {shown(count)}: it must go together with logprobs, as true.", "top_logprobs"
        )
    return None


def _format(wanted: object) -> Json:
    match wanted:
        case None | "":
            return {}
        case "json":
            return {"response_format": {"type": "json_object"}}
        case dict():
            schema = {"name": "answer", "schema": wanted, "strict": True}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        case _:
            raise refused("format", wanted, "'json' or a JSON schema")


def _think(wanted: object) -> Json:
    match wanted:
        case None | True:
            return {}
        case False:
            return {"reasoning_effort": "none"}
        case str() if wanted in _EFFORTS:
            return {"reasoning_effort": wanted}
        case _:
            raise refused("think", wanted, f"true, false or one of {', '.join(map(repr, _EFFORTS))}")


def _messages(value: object) -> list[Json]:
    told: list[Json] = []
    calls: list[str] = []  # those that wait for their results: Ollama's have no id, and are told by name and order
    for i, one in enumerate(list_at(value, "messages")):
        path, message = f"messages[{i}]", object_at(one, f"messages[{i}]")
        role = message.get("role")
        if role not in ("system", "user", "assistant", "tool"):
            raise refused(f"{path}.role", role, "one of 'system', 'user', 'assistant', 'tool'")
        _check_images(message.get("images"), f"{path}.images")
        turn: Json = {"role": role, "content": text_at(message.get("content"), f"{path}.content", _TEXT)}
        if thought := message.get("thinking"):
            turn["reasoning_content"] = string_at(thought, f"{path}.thinking")
        if made := _calls(message.get("tool_calls"), path):
            turn["tool_calls"] = made
            calls += [call["id"] for call in made]
        if role == "tool":
            turn |= _result_of(message, path, calls, told)
        told.append(turn)
    return told


def _calls(value: object, path: str) -> list[Json]:
    made = []
    for i, one in enumerate(list_at(value, f"{path}.tool_calls")):
        at = f"{path}.tool_calls[{i}]"
        call = object_at(one, at)
        function = object_at(call.get("function"), f"{at}.function")
        name = string_at(function.get("name"), f"{at}.function.name")
        arguments = function.get("arguments") or {}
        inner = {"name": name, "arguments": arguments}
        call_id = call.get("id")
        if not isinstance(call_id, str) or not call_id:
            call_id = f"call_{path}_{i}"
        made.append({"id": call_id, "type": "function", "function": inner})
    return made


def _result_of(message: Json, path: str, calls: list[str], told: list[Json]) -> Json:
    """Which call a result belongs to: by its id, by the tool's name, or the first that has none yet."""
    name, wanted = message.get("tool_name") or message.get("name"), message.get("tool_call_id")
    names = {call["id"]: call["function"]["name"] for turn in told for call in turn.get("tool_calls", ())}
    fitting = [one for one in calls if (wanted or one) == one and (wanted or name is None or names[one] == name)]
    if not fitting:
        what = shown(wanted or name) if wanted or name else "this result"
        field = "tool_call_id" if wanted else "tool_name"
        message_ = f"{path}.{field} is {what}: no call before it waits for a result of that; send the call, too."
        raise RequestError(message_, f"{path}.{field}")
    calls.remove(fitting[0])
    return {"tool_call_id": fitting[0], "name": names[fitting[0]]}


def _tools(value: object) -> list[Json]:
    tools = []
    for i, one in enumerate(list_at(value, "tools")):
        tool = object_at(one, f"tools[{i}]")
        if tool.get("type", "function") != "function":
            raise refused(f"tools[{i}].type", tool["type"], "'function'")
        object_at(tool.get("function"), f"tools[{i}].function")
        tools.append({"type": "function"} | tool)
    return tools


def _check_images(value: object, path: str) -> None:
    if list_at(value, path):
        raise RequestError(f"{path} holds images: the model here reads text only; send what they show as text.", path)
