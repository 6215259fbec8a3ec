"""Asking the batch for one job: its prompt's ids, and why there may be no answer."""

import logging
import math
from typing import Final

from mlx_spec.errors import (
    BusyError,
    ConfigError,
    DeadlineError,
    LookaheadError,
    ModelNotFoundError,
    PromptError,
    PromptTooLongError,
)
from mlx_spec.server.engine.job import Failure, GenerationRequest, Job
from mlx_spec.server.engine.served import Batch, Decoder, Pair

# Where neither the request nor the model sets an end, an answer must still have one.
_LONGEST_ANSWER: Final = 1 << 15

logger = logging.getLogger(__name__)


def ask(job: Job, pair: Pair, decoder: Decoder, batch: Batch) -> None:
    """Add what `job` asks for to the batch. Raises what encoding raises, and what `Batch.add` does."""
    request = job.request
    token_ids = encoded(pair, request)
    # Other chats have the same system prompt, and part from this one behind it.
    decoder.expect(pair.encode_opening(list(request.messages)), owner=request.owner)
    batch.add(
        job.batch_id,
        token_ids,
        request.params_with(pair.sampling),
        request.max_tokens or pair.context_length or _LONGEST_ANSWER,
        priority=request.priority,
        deadline_ms=job.deadline_left_ms,
        drafter=request.drafter,
        lookahead=request.lookahead,
        alternatives=request.alternatives,
        steering=request.steering,
        goes_on=request.prompt is not None or request.continues,
        owner=request.owner,
        exactness=request.exactness,
    )


def encoded(pair: Pair, request: GenerationRequest) -> list[int]:
    """The ids of the prompt. What the model's template cannot say is told in the log. Raises PromptError."""
    if request.prompt is not None:
        return pair.encode(request.prompt) if isinstance(request.prompt, str) else list(request.prompt)
    messages = [dict(message) for message in request.messages]
    token_ids = pair.encode_chat(messages, continues=request.continues)
    if note := pair.chat_note(messages):
        logger.warning(note)
    return token_ids


def failure_of(error: Exception, request: GenerationRequest) -> Failure:
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
        case BusyError():
            return Failure("busy", str(error), retry_after_s=max(1, math.ceil(error.retry_after_s)))
        case DeadlineError():
            return Failure("expired", str(error), "deadline_ms", "deadline_passed")
        case LookaheadError():
            return Failure("engine", str(error))
        case _:
            return Failure("engine", f"The engine failed: {type(error).__name__}: {error}")
