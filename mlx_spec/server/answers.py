"""What the server says: events as chunks and answers of docs/PROTOCOL.md, plain dictionaries ready for JSON."""

import math
import time
from collections.abc import Sequence
from typing import Any, Final, Literal

from mlx_spec.events import (
    Alternative,
    DraftedToken,
    EmittedToken,
    Event,
    GenerationFinished,
    PrefillProgress,
    RoundFinished,
    TextDelta,
)
from mlx_spec.server.engine.job import Failure, FailureKind

Json = dict[str, Any]
ErrorType = Literal["invalid_request_error", "authentication_error", "permission_error", "server_error"]

SHUTDOWN_GRACE_S: Final = 1.0
"""For so long a stream that is under way when the server stops may say its last word."""

_LONGEST_MESSAGE: Final = 1000
_STATUS: Final[dict[FailureKind, int]] = {"invalid": 400, "not_found": 404, "engine": 500, "cancelled": 500}


def error_body(message: str, kind: ErrorType, param: str | None = None, code: str | None = None) -> Json:
    """OpenAI's error object."""
    if len(message) > _LONGEST_MESSAGE:
        message = message[: _LONGEST_MESSAGE - 1] + "…"
    # A lone surrogate in an echoed value must not break the answer that refuses it.
    message = message.encode(errors="backslashreplace").decode()
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def failure_body(failure: Failure) -> tuple[int, Json]:
    """The HTTP status and the error object of a failed job."""
    status = _STATUS[failure.kind]
    code = failure.code or ("model_not_found" if failure.kind == "not_found" else None)
    return status, error_body(
        failure.message, "invalid_request_error" if status < 500 else "server_error", failure.param, code
    )


def model_card(name: str, created: int, context_length: int | None, drafters: Sequence[str] | None) -> Json:
    """One entry of /v1/models; `context_length` is in tokens, and what a request may draft by; None while it loads."""
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "lookahead",
        "context_length": context_length,
        "drafters": drafters,
    }


def speculation_of(event: PrefillProgress | RoundFinished | GenerationFinished) -> Json:
    """The `speculation` object of one event, as a stream carries it."""
    match event:
        case PrefillProgress():
            return {
                "type": "prefill",
                "processed_tokens": event.processed_tokens,
                "total_tokens": event.total_tokens,
                "elapsed_ms": _number(event.elapsed_ms),
            }
        case RoundFinished():
            return _round(event)
        case GenerationFinished():
            return {
                "type": "finished",
                "finish_reason": event.finish_reason,
                "seed": event.seed,
                "prompt_tokens": event.prompt_tokens,
                "completion_tokens": len(event.token_ids),
                "prefill_ms": _number(event.prefill_ms),
                "stats": event.stats.to_dict(),
            }


class AnswerWriter:
    """Turns the events of one answer into chunks (`chunks`), or gathers them into the whole (`add`, then `answer`).

    The events of several choices come one choice after the other; each prompt has `choices_each`.
    """

    _kind = "chat.completion"
    _chunk_kind = "chat.completion.chunk"

    def __init__(
        self, model: str, *, events: bool, usage: bool = False, request_id: str, choices_each: int = 1
    ) -> None:
        self._id = request_id
        self._choices_each = choices_each
        self._created = int(time.time())
        self._model = model
        self._events = events
        self._usage_asked = usage
        self._round: RoundFinished | None = None
        self._rounds: list[Json] = []  # of the choice under way
        self._finished: list[GenerationFinished] = []
        self._choices: list[Json] = []

    def opening(self) -> list[Json]:
        """The first chunk of a choice: the role and no text."""
        return [self._chunk({"role": "assistant", "content": ""})]

    def chunks(self, event: Event) -> list[Json]:
        """The chunks that `event` completes: a round waits for the text that it made final, to go with it."""
        match event:
            case TextDelta():
                held, self._round = self._round, None
                return [self._chunk({"content": event.text}, event=held)]
            case RoundFinished():
                chunks = self._held()
                if self._events:
                    self._round = event
                    # No token of it made text final, so no TextDelta follows: do not wait a round for one.
                    return chunks if any(token.text for token in event.emitted) else chunks + self._held()
                return chunks
            case PrefillProgress():
                return [self._chunk({}, event=event)] if self._events else []
            case GenerationFinished():
                chunks = self._held()
                told = event if self._events else None
                chunks.append(self._chunk({}, event=told, finish_reason=event.finish_reason))
                self._finished.append(event)
                return chunks

    def usage_chunk(self) -> Json:
        """The chunk of `stream_options.include_usage`, after the last one."""
        return self._head(self._chunk_kind) | {"choices": [], "usage": self._usage()}

    def add(self, event: Event) -> None:
        """Take an event of an answer that is not streamed."""
        if isinstance(event, GenerationFinished):
            choice = self._whole(event.text) | {"logprobs": None, "finish_reason": event.finish_reason}
            if self._events:
                choice["speculation"] = speculation_of(event) | {"rounds": self._rounds}
            self._choices.append(choice)
            self._finished.append(event)
            self._rounds = []
        elif isinstance(event, RoundFinished) and self._events:
            self._rounds.append(_round(event))

    def answer(self) -> Json:
        """The whole answer, once GenerationFinished was added for every choice."""
        body = self._head(self._kind) | {"choices": self._choices, "usage": self._usage()}
        if self._events and len(self._choices) == 1:  # the one choice's own stands beside it
            body["speculation"] = self._choices[0].pop("speculation")
        return body

    def _held(self) -> list[Json]:
        held, self._round = self._round, None
        return [self._chunk({}, event=held)] if held else []

    def _head(self, kind: str) -> Json:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}

    def _chunk(
        self,
        delta: Json,
        *,
        event: PrefillProgress | RoundFinished | GenerationFinished | None = None,
        finish_reason: str | None = None,
    ) -> Json:
        choice = self._part(delta) | {"logprobs": None, "finish_reason": finish_reason}
        chunk = self._head(self._chunk_kind) | {"choices": [choice]}
        if self._usage_asked:
            chunk["usage"] = None  # OpenAI sends the null, with the counts in a chunk of their own
        return chunk | {"speculation": speculation_of(event)} if event else chunk

    def _whole(self, text: str) -> Json:
        return {"index": self._index, "message": {"role": "assistant", "content": text, "refusal": None}}

    def _part(self, delta: Json) -> Json:
        return {"index": self._index, "delta": delta}

    @property
    def _index(self) -> int:
        """Of the choice under way."""
        return len(self._finished)

    def _usage(self) -> Json:
        # A prompt counts once, whatever number of choices it has.
        prompt = sum(one.prompt_tokens for one in self._finished[:: self._choices_each])
        completion = sum(len(one.token_ids) for one in self._finished)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


class CompletionWriter(AnswerWriter):
    """As AnswerWriter, in the words of /v1/completions."""

    _kind = _chunk_kind = "text_completion"

    def opening(self) -> list[Json]:
        """A completion has no role to tell."""
        return []

    def _whole(self, text: str) -> Json:
        return {"index": self._index, "text": text}

    def _part(self, delta: Json) -> Json:
        return {"index": self._index, "text": delta.get("content", "")}


def _round(event: RoundFinished) -> Json:
    special = {
        token.kind: {"id": token.token_id, "text": token.text, "p": _number(token.p)}
        for token in event.emitted
        if token.kind in ("correction", "bonus")
    }
    return {
        "type": "round",
        "round": event.index,
        "drafter": event.drafter,
        "lookahead": event.lookahead,
        "parked": event.parked,
        "reason": event.reason,
        "next_lookahead": event.next_lookahead,
        "drafted": [_drafted(token, branched=event.branched) for token in event.drafted],
        "emitted": [_emitted(token) for token in event.emitted],
        "correction": special.get("correction"),
        "bonus": special.get("bonus"),
        "draft_ms": _number(event.draft_ms),
        "verify_ms": _number(event.verify_ms),
        "round_ms": _number(event.round_ms),
        "plain_step_ms": _number(event.plain_step_ms),
    }


def _drafted(token: DraftedToken, *, branched: bool) -> Json:
    place = {"parent": token.parent if token.parent >= 0 else None} if branched else {}
    return place | {
        "id": token.token_id,
        "text": token.text,
        "p": _number(token.p),
        "q": _number(token.q),
        "state": token.state,
    }


def _emitted(token: EmittedToken) -> Json:
    tops = {"target_top": token.target_top, "draft_top": token.draft_top}
    asked = {name: [_alternative(one) for one in top] for name, top in tops.items() if top}
    return asked | {
        "id": token.token_id,
        "text": token.text,
        "kind": token.kind,
        "p": _number(token.p),
        "q": _number(token.q),
        "position": token.position,
    }


def _alternative(one: Alternative) -> Json:
    return {"id": one.token_id, "text": one.text, "probability": _number(one.probability)}


def _number(value: float | None) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if value is not None and math.isfinite(value) else None
