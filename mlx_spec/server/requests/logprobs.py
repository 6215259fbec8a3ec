"""What a request may ask of log-probabilities, as chats and as completions have it."""

from typing import Annotated, Final

from pydantic import BeforeValidator

from mlx_spec.config import LOGPROBS_LIMIT
from mlx_spec.server.requests.validation import RequestError

_RANGE: Final = f"a whole number from 0 to {LOGPROBS_LIMIT}"


def _count(value: object) -> object:
    """How many of the likeliest tokens; null asks for nothing."""
    if value is None or (type(value) is int and 0 <= value <= LOGPROBS_LIMIT):
        return value
    raise ValueError(_RANGE)


def _count_or_off(value: object) -> object:
    """Clients that know chats send false for none."""
    return None if value is False else _count(value)


TopLogprobs = Annotated[int | None, BeforeValidator(_count)]
CompletionLogprobs = Annotated[int | None, BeforeValidator(_count_or_off)]


def _nothing(advice: str) -> BeforeValidator:
    """A field of the other kind of request: with the value that asks for nothing it is taken."""

    def check(value: object) -> None:
        if value is not None and value is not False and not (type(value) is int and value == 0):
            raise ValueError(f"left out: {advice}")

    return BeforeValidator(check)


NoEcho = Annotated[None, _nothing("a chat's answer does not repeat the prompt")]
NoTopLogprobs = Annotated[None, _nothing("a completion says that number as logprobs")]


def chat_logprobs(logprobs: bool | None, top: int | None) -> int | None:
    """How many of the likeliest tokens a chat tells beside each; None for nothing. Raises RequestError."""
    if logprobs:
        return top or 0
    if top:
        raise RequestError(f"top_logprobs is {top}: it must go together with logprobs, as true.", "top_logprobs")
    return None
