"""Asking the batch for one job: its prompt's ids, and why there may be no answer."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mlx_spec.decoding.constraints.compiling import GRAMMARS
from mlx_spec.errors import (
    BusyError,
    ConfigError,
    DeadlineError,
    GrammarError,
    LookaheadError,
    ModelNotFoundError,
    PromptError,
    PromptTooLongError,
    RankLostError,
)
from mlx_spec.models.text.options import PLAIN, ChatOptions
from mlx_spec.server.engine.asked import asked_of
from mlx_spec.server.engine.job import Failure, GenerationRequest, Job
from mlx_spec.server.engine.served import Batch, Decoder, Pair

# Where neither the request nor the model sets an end, an answer must still have one.
_LONGEST_ANSWER: Final = 1 << 15
# A group takes some seconds to form again.
_FORMING_S: Final = 10

logger = logging.getLogger(__name__)


def ask(job: Job, pair: Pair, decoder: Decoder, batch: Batch) -> None:
    """Add what `job` asks for to the batch. Raises what encoding raises, and what `Batch.add` does."""
    request = job.request
    asked = asked_of(pair, request)
    token_ids = encoded(pair, request, asked.options)
    job.calls, job.notes = asked.calls, (*asked.notes, *notes_of(pair, request))
    for note in job.notes:
        logger.warning(note)
    # Other chats have the same system prompt, and part from this one behind it.
    decoder.expect(pair.encode_opening(list(request.messages), asked.options), owner=request.owner)
    batch.add(
        job.batch_id,
        token_ids,
        request.params_with(pair.sampling),
        pair.context_length or _LONGEST_ANSWER if request.max_tokens is None else request.max_tokens,
        priority=request.priority,
        deadline_ms=job.deadline_left_ms,
        drafter=request.drafter,
        lookahead=request.lookahead,
        alternatives=request.alternatives,
        steering=request.steering,
        goes_on=request.prompt is not None or request.continues,
        owner=request.owner,
        constraint=asked.constraint,
        thinking_tokens=request.thinking_tokens,
        logprobs=request.logprobs,
        prompt_logprobs=request.scores_prompt,
        predicted_ids=_predicted_ids(pair, request.prediction),
        one_call_of=() if request.tools.is_parallel or asked.calls is None else request.tools.callable,
        exactness=request.exactness,
    )


def made_ready(pair: Pair, requests: Sequence[GenerationRequest]) -> list[GenerationRequest]:
    """The requests, with what takes long for one answer done: what they must look like is compiled, and the engine then
    finds it so; what they are predicted to be is encoded. From any thread but the engine's, whose answers would wait
    for it. Raises GrammarError, ToolsError, PromptError."""
    for constraint in {asked_of(pair, request).constraint for request in requests} - {None}:
        assert constraint is not None
        GRAMMARS.compiled(constraint, pair.tokenizer, pair.vocab_size)
    known = {text: _predicted_ids(pair, text) for text in {request.prediction for request in requests}}
    return [replace(request, prediction=known[request.prediction]) for request in requests]


def _predicted_ids(pair: Pair, prediction: str | tuple[int, ...] | None) -> tuple[int, ...]:
    return tuple(pair.encode_part(prediction)) if isinstance(prediction, str) else prediction or ()


def encoded(pair: Pair, request: GenerationRequest, options: ChatOptions = PLAIN) -> list[int]:
    """The ids of the prompt. Raises PromptError."""
    if request.prompt is not None:
        return pair.encode(request.prompt) if isinstance(request.prompt, str) else list(request.prompt)
    messages = [dict(message) for message in request.messages]
    return pair.encode_chat(messages, continues=request.continues, options=options)


def notes_of(pair: Pair, request: GenerationRequest) -> tuple[str, ...]:
    """What the model's template cannot say as it was asked for, in a sentence or more."""
    note = pair.chat_note([dict(message) for message in request.messages]) if request.messages else None
    return () if note is None else (note,)


def lost_failure(error: RankLostError) -> Failure:
    """What clients are told when a machine of the group is gone: that it will come back is not known, but likely."""
    return Failure("unavailable", str(error), retry_after_s=_FORMING_S)


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
        case RankLostError():
            return lost_failure(error)
        case GrammarError() if error.field is not None:
            return Failure("invalid", str(error), error.field)
        case LookaheadError():
            return Failure("engine", str(error))
        case _:
            return Failure("engine", f"The engine failed: {type(error).__name__}: {error}")
