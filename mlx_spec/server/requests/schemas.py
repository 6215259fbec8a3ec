"""What a request may say. pydantic stays at this edge of the engine."""

import re
from abc import abstractmethod
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final
from uuid import uuid4

from pydantic import BaseModel, BeforeValidator, ConfigDict

from mlx_spec.config import LOOKAHEAD_LIMIT, SEED_LIMIT, AcceptanceRule, SamplingParams
from mlx_spec.decoding.alternatives import ALTERNATIVES_LIMIT
from mlx_spec.decoding.steering import Change, Steering
from mlx_spec.errors import ConfigError
from mlx_spec.server.engine.job import DrafterChoice, GenerationRequest, LookaheadChoice
from mlx_spec.server.requests.foreign_fields import asked_foreign, is_same
from mlx_spec.server.requests.messages import ChatMessage, checked_text
from mlx_spec.server.requests.validation import Body, RequestError, object_of, shown, validated

__all__ = [
    "ChatRequest",
    "CompletionRequest",
    "RequestError",
    "SteeringRequest",
    "parse_chat",
    "parse_completion",
    "validated",
]

DEFAULT_TEMPERATURE: Final = 1.0
"""OpenAI's, where neither the request nor the model's own file says one."""
CHOICES_LIMIT: Final = 128
"""Answers to one request."""
_NO_LIMIT: Final = -1
_COMPLETION_TOKENS: Final = 16  # OpenAI's default of /v1/completions
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


def _prompts(value: object) -> object:
    """One prompt or several: a text, token ids, or a list of these."""
    several = isinstance(value, list) and value and type(value[0]) is not int
    prompts = value if several and isinstance(value, list) else [value]
    return tuple(_prompt(one) for one in prompts)


def _prompt(value: object) -> str | tuple[int, ...]:
    if isinstance(value, list) and value and all(type(one) is int and one >= 0 for one in value):
        return tuple(value)
    if not isinstance(value, str) or not value:
        raise ValueError("a string that is not empty, a list of token ids, or a list of these")
    return checked_text(value)


def _unless(unset: float) -> BeforeValidator:
    """Many clients send a number in the place of null."""
    return BeforeValidator(lambda value: None if is_same(value, unset) else value)


def _stop_strings(value: object) -> object:
    """An empty one, which would end every answer before it began, is what clients send for none."""
    strings = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(strings, list) or not all(isinstance(one, str) for one in strings):
        raise ValueError("a string, or a list of strings")
    return tuple(checked_text(one) for one in strings if one)


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
    top_p: Annotated[float | None, _unless(0)] = None
    top_k: Annotated[int | None, _unless(-1)] = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Annotated[dict[int, float] | None, BeforeValidator(_biases)] = None
    seed: Annotated[int | None, _unless(-1)] = None
    stop: Annotated[tuple[str, ...], BeforeValidator(_stop_strings)] = ()
    n: int | None = None
    best_of: int | None = None
    tools: list[dict[str, Any]] | None = None
    functions: list[dict[str, Any]] | None = None
    speculation: SpeculationOptions | None = None

    _id_prefix: ClassVar[str]
    _unasked_tokens: ClassVar[int | None] = None
    """The limit where the client gives none."""

    @property
    def wants_events(self) -> bool:
        """Whether the client asked for the rounds."""
        return bool(self.speculation and self.speculation.events)

    @property
    def wants_usage_chunk(self) -> bool:
        """Whether the client asked for the token counts at the end of a stream."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def generations(self) -> list[GenerationRequest]:
        """What the engine is to do, an answer for each choice in the order of their index: `n` for each prompt. With
        a seed, choice i of a prompt is what the seed plus i says alone. Raises RequestError, ConfigError."""
        told, num = self._told(), self.n or 1
        if self.n is not None and not 1 <= self.n <= CHOICES_LIMIT:
            raise ConfigError("n", self.n, f"a whole number from 1 to {CHOICES_LIMIT}")
        if self.best_of not in (None, num):
            message = f"best_of is {self.best_of}: it must be {num}, as many as n; this server gives all it finds."
            raise RequestError(message, "best_of")
        if len(told) * num > CHOICES_LIMIT:
            message = (
                f"{len(told)} prompts with {num} choices each are more than the {CHOICES_LIMIT} answers of a request."
            )
            raise RequestError(message, "prompt" if num == 1 else "n")
        answer_id = f"{self._id_prefix}-{uuid4().hex}"
        return [self._generation(answer_id, choice, **one) for one in told for choice in range(num)]

    @abstractmethod
    def _told(self) -> list[dict[str, Any]]:
        """What each prompt asks of a GenerationRequest besides what they share."""

    def _generation(self, answer_id: str, choice: int, **told: Any) -> GenerationRequest:
        fields = {name: getattr(self, name) for name in _SAMPLING}
        given = {name: value for name, value in fields.items() if value is not None}
        params = SamplingParams(stop=self.stop, **({"temperature": DEFAULT_TEMPERATURE} | given))
        if params.seed is not None:
            params = replace(params, seed=(params.seed + choice) % SEED_LIMIT)
        return GenerationRequest(
            params=params,
            left_out=frozenset(_SAMPLING) - given.keys(),
            max_tokens=self._token_limit(),
            drafter=self.speculation.drafter if self.speculation else None,
            lookahead=self.speculation.lookahead if self.speculation else None,
            alternatives=(self.speculation.alternatives or 0) if self.wants_events and self.speculation else 0,
            steering=self.speculation.steering() if self.speculation else Steering(),
            answer_id=answer_id,
            **told,
        )

    def _token_limit(self) -> int | None:
        """None where there is no limit but the context."""
        for name in ("max_completion_tokens", "max_tokens"):
            limit: int | None = getattr(self, name)
            if limit is not None and limit < 1 and limit != _NO_LIMIT:
                raise ConfigError(name, limit, f"a whole number of at least 1, or {_NO_LIMIT} for no limit")
        asked = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        return self._unasked_tokens if asked is None else None if asked == _NO_LIMIT else asked


class ChatRequest(AnswerRequest):
    """POST /v1/chat/completions."""

    _id_prefix: ClassVar = "chatcmpl"

    messages: list[ChatMessage]
    continue_final_message: bool | None = None

    def _told(self) -> list[dict[str, Any]]:
        if not self.messages:
            raise RequestError("messages is empty: it must hold at least one message.", "messages")
        turns = tuple(message.as_turn() for message in self.messages)
        return [{"messages": turns, "continues": bool(self.continue_final_message)}]


class CompletionRequest(AnswerRequest):
    """POST /v1/completions: the texts, or the token ids, that the model goes on with."""

    _id_prefix: ClassVar = "cmpl"
    _unasked_tokens: ClassVar = _COMPLETION_TOKENS

    prompt: Annotated[tuple[str | tuple[int, ...], ...], BeforeValidator(_prompts)]

    def _told(self) -> list[dict[str, Any]]:
        return [{"messages": (), "prompt": prompt} for prompt in self.prompt]


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
    said = object_of(body)
    if (name := asked_foreign(said)) is not None:
        raise RequestError(f"{name} is {shown(said[name])}: this server does not support it; leave it out.", name)
    for name in ("tool_choice", "function_call"):
        if said.get(name) not in (None, "auto", "none"):
            message = 'this server answers in text and calls no tools yet; say "auto", or leave it out.'
            raise RequestError(f"{name} is {shown(said[name])}: {message}", name)
    return validated(kind, said)
