"""What prompts to come will begin with, once a request is answered: for idle moments to read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mlx_spec.events import GenerationFinished
from mlx_spec.models.text.reasoning import OPEN, split
from mlx_spec.server.engine.asked import asked_of
from mlx_spec.server.engine.job import GenerationRequest
from mlx_spec.server.engine.served import Pair

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What follows an answer of the chat `owner`. `texts` renders a conversation some times over: so it is asked when
    nobody waits."""

    texts: Callable[[], Iterator[list[int]]]
    owner: str | None = None


def expected(pair: Pair, request: GenerationRequest, finished: GenerationFinished) -> Iterator[list[int]]:
    """The ids that prompts will begin with which follow this answer, the likeliest first; none where it has no text, as
    then only the same can be asked again. Raises PromptError."""
    if not finished.text:
        return
    if isinstance(request.prompt, tuple):
        yield [*request.prompt, *finished.token_ids]
    elif request.prompt is not None:
        yield pair.encode(request.prompt + finished.text)
    else:
        yield from _next_turns(pair, request, finished)


def _next_turns(pair: Pair, request: GenerationRequest, finished: GenerationFinished) -> Iterator[list[int]]:
    messages, reply, options = list(request.messages), finished.text, asked_of(pair, request).options
    if request.continues:
        reply = str(messages.pop()["content"]) + reply
    for sent_back in _as_sent_back(messages, reply):
        yield pair.encode_next(messages, sent_back, options)
    if finished.finish_reason != "stop":  # it may be asked to go on
        yield pair.encode_chat([*messages, {"role": "assistant", "content": reply}], continues=True, options=options)


def _as_sent_back(messages: list[Message], reply: str) -> Iterator[str]:
    """The reply as the client will send it back: with its reasoning or without, as it sent back those before. Of the
    first one nobody knows; our own clients send it back as it came."""
    answer = split(reply)[1]
    earlier = [str(message["content"]) for message in messages if message["role"] == "assistant"]
    with_reasoning = any(text.lstrip().startswith(OPEN) for text in earlier)
    if answer == reply or with_reasoning or not earlier:
        yield reply
    if answer and answer != reply and not with_reasoning:
        yield answer
