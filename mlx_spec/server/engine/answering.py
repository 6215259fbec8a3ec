"""Answering one job: its prompt's ids, the decoder's events, and why there may be no answer."""

import logging
from collections.abc import Generator, Iterator
from typing import Final

from mlx_spec.errors import ConfigError, LookaheadError, ModelNotFoundError, PromptError, PromptTooLongError
from mlx_spec.events import Event, GenerationFinished
from mlx_spec.server.engine.job import Failure, GenerationRequest, Job
from mlx_spec.server.engine.served import Decoder, Pair

# Where neither the request nor the model sets an end, an answer must still have one.
_LONGEST_ANSWER: Final = 1 << 15

logger = logging.getLogger(__name__)


def answer(job: Job, pair: Pair, decoder: Decoder) -> GenerationFinished | None:
    """Decode what `job` asks for, and post every event to it; the last one, also where nobody waited for it. Raises
    what encoding and decoding raise."""
    request = job.request
    # Other chats have the same system prompt, and part from this one behind it.
    decoder.expect(pair.encode_opening(list(request.messages)))
    events = decoder.stream(
        encoded(pair, request),
        request.params_with(pair.sampling),
        max_tokens=request.max_tokens or pair.context_length or _LONGEST_ANSWER,
        should_cancel=job.cancelled,
        drafter=request.drafter,
        lookahead=request.lookahead,
        alternatives=request.alternatives,
        steering=request.steering,
        goes_on=request.prompt is not None or request.continues,
        owner=request.owner,
    )
    return _forward(events, job)


def encoded(pair: Pair, request: GenerationRequest) -> list[int]:
    """The ids of the prompt. What the model's template cannot say is told in the log. Raises PromptError."""
    if request.prompt is not None:
        return pair.encode(request.prompt) if isinstance(request.prompt, str) else list(request.prompt)
    messages = [dict(message) for message in request.messages]
    token_ids = pair.encode_chat(messages, continues=request.continues)
    if note := pair.chat_note(messages):
        logger.warning(note)
    return token_ids


def failure_of(error: LookaheadError, request: GenerationRequest) -> Failure:
    """What the client is told of an error, with the field that it is about."""
    prompt_field = "messages" if request.prompt is None else "prompt"
    match error:
        case ConfigError():
            inside = "speculation." if error.field in ("drafter", "lookahead") else ""
            return Failure("invalid", str(error), f"{inside}{error.field}")
        case PromptTooLongError():
            return Failure("invalid", str(error), prompt_field, "context_length_exceeded")
        case PromptError():
            return Failure("invalid", str(error), prompt_field)
        case ModelNotFoundError():
            return Failure("not_found", str(error), "model")
        case _:
            return Failure("engine", str(error))


def _forward(events: Iterator[Event], job: Job) -> GenerationFinished | None:
    """Post every event until the job is over. The decoder, which asks for that between two rounds, then ends by itself,
    and keeps what it has read: who stops an answer often asks again."""
    finished = None
    try:
        for event in events:
            if isinstance(event, GenerationFinished):
                finished = event
            if not job.cancelled():
                job.post(event)
    finally:
        if isinstance(events, Generator):
            events.close()
    if finished is None and not job.cancelled():
        job.fail(Failure("engine", "The engine stopped before the answer was finished."))
    return finished
