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
from mlx_spec.models.text.tool_use import ToolUse
from mlx_spec.server.engine.job import GenerationRequest
from mlx_spec.server.requests.fields import biases, cache_key, deadline, prompts_of, stop_strings, unless
from mlx_spec.server.requests.foreign_fields import asked_foreign
from mlx_spec.server.requests.formats import ConstrainedRequest
from mlx_spec.server.requests.logprobs import CompletionLogprobs, NoEcho, NoTopLogprobs, TopLogprobs, chat_logprobs
from mlx_spec.server.requests.messages import ChatMessage, turns_of
from mlx_spec.server.requests.prediction import Prediction
from mlx_spec.server.requests.speculation import SpeculationOptions
from mlx_spec.server.requests.thinking import Budget, Effort, ReasoningFormat, TemplateSettings
from mlx_spec.server.requests.tools import Choice, Function, FunctionCall, ToolGiven, tool_use
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


class AnswerRequest(ConstrainedRequest, _Request):
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
    prompt_cache_key: Annotated[str | None, BeforeValidator(cache_key)] = None
    priority: Annotated[Priority | None, unless(0)] = None  # vLLM's, where 0 is the usual one
    deadline_ms: Annotated[float | None, BeforeValidator(deadline)] = None
    prediction: Prediction = None
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
        told, num, constraint = self._told(), self.n or 1, self.wanted()
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
        each = [(one | {"constraint": constraint}, of_prompt) for one in told for of_prompt in range(num)]
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
            prediction=self.prediction,
            answer_id=answer_id,
            choice=choice,
            **told,
        )

    @property
    def _fewest_tokens(self) -> int:
        """That an answer may be limited to."""
        return 1

    def _token_limit(self) -> int | None:
        """None where there is no limit but the context."""
        for name in ("max_completion_tokens", "max_tokens"):
            limit: int | None = getattr(self, name)
            if limit is not None and limit < self._fewest_tokens and limit != _NO_LIMIT:
                least = self._fewest_tokens
                raise ConfigError(name, limit, f"a whole number of at least {least}, or {_NO_LIMIT} for no limit")
        asked = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        return self._unasked_tokens if asked is None else None if asked == _NO_LIMIT else asked


class ChatRequest(AnswerRequest):
    """POST /v1/chat/completions."""

    _id_prefix: ClassVar = "chatcmpl"

    messages: list[ChatMessage]
    continue_final_message: bool | None = None
    tools: list[ToolGiven] | None = None
    tool_choice: Choice = None
    parallel_tool_calls: bool | None = None
    functions: list[Function] | None = None
    function_call: FunctionCall = None
    chat_template_kwargs: TemplateSettings = {}
    reasoning_effort: Effort = None
    reasoning_format: ReasoningFormat | None = None
    thinking_token_budget: Budget = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs = None
    echo: NoEcho = None

    def _told(self) -> list[dict[str, Any]]:
        turns = turns_of(self.messages)
        told = {"messages": turns, "continues": bool(self.continue_final_message), "tools": self._tool_use()}
        thinking = {"effort": self.reasoning_effort, "thinking_tokens": self.thinking_token_budget}
        apart = self.reasoning_format != "none"
        told |= thinking | {"template": self.chat_template_kwargs, "reasoning_apart": apart}
        return [told | {"logprobs": chat_logprobs(self.logprobs, self.top_logprobs)}]

    def _tool_use(self) -> ToolUse:
        if self.tools is None and self.functions is not None:  # as it was before there were tools
            given = [ToolGiven(function=function) for function in self.functions]
            return tool_use(given, self.function_call, is_parallel=False)
        return tool_use(self.tools, self.tool_choice, self.parallel_tool_calls)


class CompletionRequest(AnswerRequest):
    """POST /v1/completions: the texts, or the token ids, that the model goes on with."""

    _id_prefix: ClassVar = "cmpl"
    _unasked_tokens: ClassVar = _COMPLETION_TOKENS

    prompt: Annotated[tuple[str | tuple[int, ...], ...], BeforeValidator(prompts_of)]
    logprobs: CompletionLogprobs = None
    top_logprobs: NoTopLogprobs = None
    echo: bool | None = None

    @property
    def _fewest_tokens(self) -> int:
        return 0 if self.echo else 1

    def _told(self) -> list[dict[str, Any]]:
        told = {"messages": (), "logprobs": self.logprobs, "echo": bool(self.echo)}
        return [told | {"prompt": prompt} for prompt in self.prompt]


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
    return validated(kind, said)
