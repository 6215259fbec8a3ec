"""What a request may say, and one sentence for what it may not. pydantic stays at this edge of the engine."""

import json
import re
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from mlx_spec.alternatives import ALTERNATIVES_LIMIT
from mlx_spec.config import LOOKAHEAD_LIMIT, AcceptanceRule, SamplingParams
from mlx_spec.errors import ConfigError
from mlx_spec.server.job import DrafterChoice, GenerationRequest, LookaheadChoice
from mlx_spec.steering import Change, Steering

Body = TypeVar("Body", bound=BaseModel)

# OpenAI's fields that would change the answer and that this server does not know, with the values that ask nothing.
_UNSUPPORTED: Final[dict[str, tuple[object, ...]]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"],),
    "audio": (),
    "web_search_options": (),
    "chat_template_kwargs": ({},),
}
_SAMPLING: Final = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
)
_STEERED: Final = ("acceptance", "acceptance_threshold", "min_acceptance_ratio", "tree")
_TOKEN_ID: Final = re.compile("[0-9]{1,9}")
_SHOWN: Final = 80


class RequestError(ValueError):
    """The request cannot be understood or served as it is. `param` names the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


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
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("text of whole characters: it holds half of a surrogate pair") from None
    return value


def _one_prompt(value: object) -> object:
    """OpenAI allows a list of prompts; one of them is what a request can have here."""
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], int):
        value = value[0]
    whole = isinstance(value, list) and value and all(type(one) is int and one >= 0 for one in value)
    if whole and isinstance(value, list):
        return tuple(value)
    if not isinstance(value, str) or not value:
        raise ValueError("a string that is not empty, or a list of token ids (several prompts are not supported)")
    return whole_text(value)


def _stop_strings(value: object) -> object:
    strings = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(strings, list) or not all(isinstance(s, str) and s for s in strings):
        raise ValueError("a string, or a list of strings, that are not empty")
    return tuple(strings)


def _biases(value: object) -> object:
    """OpenAI's keys are token ids as strings."""
    if value is None:
        return None
    if not isinstance(value, dict) or not all(_TOKEN_ID.fullmatch(key) for key in value):
        raise ValueError("a JSON object from token ids to numbers from -100 to 100")
    return {int(key): bias for key, bias in value.items()}


def _lookahead(value: object) -> object:
    whole = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LOOKAHEAD_LIMIT
    if value is None or value == "auto" or whole:
        return value
    raise ValueError(f'"auto" or a whole number from 1 to {LOOKAHEAD_LIMIT}')


def _alternatives(value: object) -> object:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= ALTERNATIVES_LIMIT
    if value is None or whole:
        return value
    raise ValueError(f"a whole number from 0 to {ALTERNATIVES_LIMIT}")


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class ChatMessage(_Request):
    """One turn. `developer` is OpenAI's newer name of `system`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(whole_text)] = ""

    def as_turn(self) -> dict[str, str]:
        """The turn as chat templates know it."""
        return {"role": "system" if self.role == "developer" else self.role, "content": self.content}


class StreamOptions(_Request):
    """`include_usage` asks for one more chunk, with the token counts and no choices."""

    include_usage: bool | None = None


class _Steered(BaseModel):
    """What may be asked of an answer when it begins and while it is under way; null or left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    drafter: DrafterChoice | None = None
    lookahead: Annotated[LookaheadChoice | None, BeforeValidator(_lookahead)] = None
    acceptance: AcceptanceRule | None = None
    acceptance_threshold: float | None = None
    min_acceptance_ratio: float | None = None
    tree: str | None = None


class SpeculationOptions(_Steered):
    """The extension of docs/PROTOCOL.md."""

    events: bool | None = None
    alternatives: Annotated[int | None, BeforeValidator(_alternatives)] = None

    def steering(self) -> Steering:
        """What a request asks for besides its drafter and lookahead. Raises RequestError."""
        asked = {name: value for name in _STEERED if (value := getattr(self, name)) is not None}
        steering = Steering()
        try:
            steering.steer(Change(**asked))
        except ConfigError as error:
            raise RequestError(str(error), f"speculation.{error.field}") from None
        return steering


class AnswerRequest(_Request):
    """What a chat and a completion may both ask for. Null is as good as left out, as OpenAI has it."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Annotated[dict[int, float] | None, BeforeValidator(_biases)] = None
    seed: int | None = None
    stop: Annotated[tuple[str, ...], BeforeValidator(_stop_strings)] = ()
    speculation: SpeculationOptions | None = None

    @property
    def wants_events(self) -> bool:
        """Whether the client asked for the rounds."""
        return bool(self.speculation and self.speculation.events)

    @property
    def wants_usage_chunk(self) -> bool:
        """Whether the client asked for the token counts at the end of a stream."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def _generation(self, messages: tuple[dict[str, str], ...], **asked: Any) -> GenerationRequest:
        """What the engine is to do, once it is known with what. Raises RequestError, ConfigError."""
        fields = {name: getattr(self, name) for name in _SAMPLING}
        given = {name: value for name, value in fields.items() if value is not None}
        return GenerationRequest(
            messages=messages,
            params=SamplingParams(stop=self.stop, **given),
            max_tokens=self._token_limit(),
            drafter=self.speculation.drafter if self.speculation else None,
            lookahead=self.speculation.lookahead if self.speculation else None,
            alternatives=(self.speculation.alternatives or 0) if self.wants_events and self.speculation else 0,
            steering=self.speculation.steering() if self.speculation else Steering(),
            **asked,
        )

    def _token_limit(self) -> int | None:
        for name in ("max_completion_tokens", "max_tokens"):
            limit: int | None = getattr(self, name)
            if limit is not None and limit < 1:
                raise ConfigError(name, limit, "a whole number of at least 1")
        return self.max_completion_tokens or self.max_tokens


class ChatRequest(AnswerRequest):
    """POST /v1/chat/completions."""

    messages: list[ChatMessage]
    continue_final_message: bool | None = None

    def generation(self) -> GenerationRequest:
        """What the engine is to do. Raises RequestError, ConfigError."""
        if not self.messages:
            raise RequestError("messages is empty: it must hold at least one message.", "messages")
        messages = tuple(message.as_turn() for message in self.messages)
        return self._generation(messages, continues=bool(self.continue_final_message))


class CompletionRequest(AnswerRequest):
    """POST /v1/completions: the text, or the token ids, that the model goes on with."""

    prompt: Annotated[str | tuple[int, ...], BeforeValidator(_one_prompt)]
    max_tokens: int | None = 16  # OpenAI's default here

    def generation(self) -> GenerationRequest:
        """What the engine is to do. Raises RequestError, ConfigError."""
        return self._generation((), prompt=self.prompt)


class SteeringRequest(_Steered):
    """POST /v1/speculation/settings: what to change of an answer under way."""

    request: str | None = None

    @property
    def change(self) -> Change:
        """The change asked for. Raises RequestError where there is none."""
        asked = self.model_dump(exclude={"request"}, exclude_none=True)
        if not asked:
            raise RequestError("The request changes nothing: give drafter, lookahead, acceptance or a threshold.")
        return Change(**asked)


def parse_chat(body: object) -> ChatRequest:
    """The request in `body`, a parsed JSON value. Raises RequestError."""
    return _asked(ChatRequest, body)


def parse_completion(body: object) -> CompletionRequest:
    """The request in `body`, a parsed JSON value. Raises RequestError."""
    return _asked(CompletionRequest, body)


def _asked(kind: type[Body], body: object) -> Body:
    said = _object(body)
    for name, harmless in _UNSUPPORTED.items():
        value = said.get(name)
        if value is not None and value not in harmless:
            raise RequestError(f"{name} is {_shown(value)}: this server does not support it; leave it out.", name)
    return validated(kind, said)


def validated(kind: type[Body], body: object) -> Body:
    """A request of `kind` in `body`, a parsed JSON value. Raises RequestError."""
    try:
        return kind.model_validate(_object(body))
    except ValidationError as error:
        raise _request_error(error.errors(include_url=False)[0]) from None


def _object(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise RequestError("The request body must be a JSON object.")
    return body


def _request_error(problem: Any) -> RequestError:
    """One of pydantic's errors as a sentence."""
    path = _path(problem["loc"])
    if problem["type"] == "missing":
        return RequestError(f"{path} is missing.", path)
    if problem["type"] == "extra_forbidden":
        return RequestError(f"{path} is not a setting that this server knows; leave it out.", path)
    return RequestError(f"{path} is {_shown(problem['input'])}: it must be {_allowed(problem)}.", path)


def _allowed(problem: Any) -> str:
    match problem["type"]:
        case "value_error":
            return str(problem["ctx"]["error"])
        case "literal_error":
            return f"one of {problem['ctx']['expected']}"
        case "float_type" | "float_parsing":
            return "a number"
        case "int_type" | "int_from_float" | "int_parsing":
            return "a whole number"
        case "bool_type":
            return "true or false"
        case "string_type":
            return "a string"
        case "list_type":
            return "a list"
        case _:
            return "a JSON object"


def _path(loc: tuple[str | int, ...]) -> str:
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
