"""POST /v1/chat/completions and /v1/completions: what they may ask for. pydantic stays at this edge of the engine."""

from abc import abstractmethod
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final
from uuid import uuid4

from pydantic import BaseModel, BeforeValidator, ConfigDict

from mlx_spec.batching.entry import Priority
from mlx_spec.config import SEED_LIMIT, SamplingParams
from mlx_spec.decoding.steering import Steering
from mlx_spec.errors import ConfigError
from mlx_spec.server.engine.job import GenerationRequest
from mlx_spec.server.requests.fields import biases, cache_key, deadline, prompts_of, stop_strings, unless
from mlx_spec.server.requests.foreign_fields import asked_foreign
from mlx_spec.server.requests.messages import ChatMessage
from mlx_spec.server.requests.speculation import SpeculationOptions
from mlx_spec.server.requests.validation import Body, RequestError, object_of, shown, validated

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


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class StreamOptions(_Request):
    """`include_usage` asks for one more chunk, with the token counts and no choices."""

    include_usage: bool | None = None


class AnswerRequest(_Request):
    """What a chat and a completion may both ask for. Null is as good as left out, as OpenAI has it."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: Annotated[float | None, unless(0)] = None
    top_k: Annotated[int | None, unless(-1)] = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Annotated[dict[int, float] | None, BeforeValidator(biases)] = None
    seed: Annotated[int | None, unless(-1)] = None
    stop: Annotated[tuple[str, ...], BeforeValidator(stop_strings)] = ()
    n: int | None = None
    best_of: int | None = None
    tools: list[dict[str, Any]] | None = None
    functions: list[dict[str, Any]] | None = None
    prompt_cache_key: Annotated[str | None, BeforeValidator(cache_key)] = None
    priority: Annotated[Priority | None, unless(0)] = None  # vLLM's, where 0 is the usual one
    deadline_ms: Annotated[float | None, BeforeValidator(deadline)] = None
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
        each = [(one, of_prompt) for one in told for of_prompt in range(num)]
        return [self._generation(answer_id, i, of_prompt, **one) for i, (one, of_prompt) in enumerate(each)]

    @abstractmethod
    def _told(self) -> list[dict[str, Any]]:
        """What each prompt asks of a GenerationRequest besides what they share."""

    def _generation(self, answer_id: str, choice: int, of_prompt: int, **told: Any) -> GenerationRequest:
        fields = {name: getattr(self, name) for name in _SAMPLING}
        given = {name: value for name, value in fields.items() if value is not None}
        params = SamplingParams(stop=self.stop, **({"temperature": DEFAULT_TEMPERATURE} | given))
        if params.seed is not None:
            params = replace(params, seed=(params.seed + of_prompt) % SEED_LIMIT)
        return GenerationRequest(
            params=params,
            left_out=frozenset(_SAMPLING) - given.keys(),
            max_tokens=self._token_limit(),
            drafter=self.speculation.drafter if self.speculation else None,
            lookahead=self.speculation.lookahead if self.speculation else None,
            alternatives=(self.speculation.alternatives or 0) if self.wants_events and self.speculation else 0,
            exactness=self.speculation.exactness if self.speculation else None,
            steering=self.speculation.steering() if self.speculation else Steering(),
            owner=self.prompt_cache_key,
            priority=self.priority or "normal",
            deadline_ms=self.deadline_ms,
            answer_id=answer_id,
            choice=choice,
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

    prompt: Annotated[tuple[str | tuple[int, ...], ...], BeforeValidator(prompts_of)]

    def _told(self) -> list[dict[str, Any]]:
        return [{"messages": (), "prompt": prompt} for prompt in self.prompt]


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
