"""The engine's wire protocol (docs/PROTOCOL.md) as small frozen values. Unknown fields are ignored."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

DraftState = Literal["accepted", "rejected", "untested"]
TokenKind = Literal["accepted", "correction", "bonus", "plain"]
TOKEN_KINDS: tuple[TokenKind, ...] = ("accepted", "correction", "bonus", "plain")


class ProtocolError(ValueError):
    """The engine sent something that is not in docs/PROTOCOL.md; the message quotes it."""


@dataclass(frozen=True, slots=True)
class DraftedToken:
    """A token the draft proposed. `p` is None where the target was not asked."""

    text: str
    p: float | None
    q: float | None
    state: DraftState


@dataclass(frozen=True, slots=True)
class EmittedToken:
    """A token of the answer. `text` is what it made final, `position` counts from the first token of the prompt."""

    text: str
    kind: TokenKind
    p: float | None
    q: float | None
    position: int


@dataclass(frozen=True, slots=True)
class Prefill:
    """Sent while the prompt is being read."""

    processed_tokens: int
    total_tokens: int
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class Round:
    """Sent when one draft and one verify are over.

    `drafter` is None where nothing was asked of one. An older engine tells neither that nor the `reason`.
    """

    index: int
    lookahead: int
    next_lookahead: int
    drafted: tuple[DraftedToken, ...]
    emitted: tuple[EmittedToken, ...]
    draft_ms: float = 0.0
    verify_ms: float = 0.0
    round_ms: float = 0.0
    drafter: str | None = None
    reason: str = ""
    # The event as the engine sent it, compactly: what is kept of a chat holds all that a newer engine told.
    wire: str = field(default="", repr=False, compare=False)

    @property
    def is_parked(self) -> bool:
        """Whether the engine could have drafted and expected no gain of it. The protocol has no other sign of that
        than the reason's first word."""
        return self.lookahead == 0 and self.reason.startswith("parked")

    @property
    def accepted_count(self) -> int:
        """How many drafted tokens were accepted."""
        return sum(token.state == "accepted" for token in self.drafted)

    @property
    def tested_count(self) -> int:
        """How many drafted tokens the target looked at."""
        return sum(token.state != "untested" for token in self.drafted)


@dataclass(frozen=True, slots=True)
class Finished:
    """Sent once, last."""

    finish_reason: str
    seed: int | None
    prompt_tokens: int
    completion_tokens: int
    prefill_ms: float
    stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Text:
    """Text that became final. Sent after the round it belongs to."""

    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """An `error` object, from an HTTP answer or from a chunk."""

    message: str
    kind: str = "server_error"
    param: str | None = None


Event = Prefill | Round | Finished | Text | Failure


def parse_chunk(data: str) -> list[Event]:
    """The events of one chunk's JSON. Raises ProtocolError when it is not an object of the protocol."""
    try:
        chunk = json.loads(data)
        if "error" in chunk:
            return [parse_failure(chunk)]
        events: list[Event] = []
        if speculation := chunk.get("speculation"):
            events += _parse_speculation(speculation)
        for choice in chunk.get("choices", ())[:1]:
            if text := choice.get("delta", {}).get("content"):
                events.append(Text(str(text)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"{type(error).__name__}: {error} in {data[:400]}") from error
    return events


def parse_round(wire: str) -> Round:
    """A round from its `wire`, as it is kept with a chat. Raises ProtocolError when it is none."""
    try:
        return _parse_round(json.loads(wire))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"{type(error).__name__}: {error} in {wire[:400]}") from error


def parse_failure(body: Mapping[str, Any]) -> Failure:
    """The `error` object of an answer's body."""
    error = body["error"]
    if isinstance(error, str):
        return Failure(error)
    return Failure(str(error.get("message", "")), str(error.get("type", "server_error")), error.get("param"))


def _parse_speculation(value: Mapping[str, Any]) -> list[Event]:
    match value["type"]:
        case "prefill":
            return [Prefill(int(value["processed_tokens"]), int(value["total_tokens"]), float(value["elapsed_ms"]))]
        case "round":
            return [_parse_round(value)]
        case "finished":
            return [_parse_finished(value)]
        case _:  # a newer engine may tell more
            return []


def _parse_round(value: Mapping[str, Any]) -> Round:
    drafted = (DraftedToken(t["text"], _number(t.get("p")), _number(t.get("q")), _state(t)) for t in value["drafted"])
    emitted = (
        EmittedToken(t["text"], _kind(t), _number(t.get("p")), _number(t.get("q")), int(t["position"]))
        for t in value["emitted"]
    )
    return Round(
        index=int(value["round"]),
        lookahead=int(value["lookahead"]),
        next_lookahead=int(value.get("next_lookahead", value["lookahead"])),
        drafted=tuple(drafted),
        emitted=tuple(emitted),
        draft_ms=float(value.get("draft_ms", 0.0)),
        verify_ms=float(value.get("verify_ms", 0.0)),
        round_ms=float(value.get("round_ms", 0.0)),
        drafter=None if value.get("drafter") is None else str(value["drafter"]),
        reason=str(value.get("reason") or ""),
        wire=json.dumps(value, separators=(",", ":")),
    )


def _parse_finished(value: Mapping[str, Any]) -> Finished:
    return Finished(
        finish_reason=str(value.get("finish_reason", "stop")),
        seed=None if value.get("seed") is None else int(value["seed"]),
        prompt_tokens=int(value.get("prompt_tokens", 0)),
        completion_tokens=int(value.get("completion_tokens", 0)),
        prefill_ms=float(value.get("prefill_ms", 0.0)),
        stats=dict(value.get("stats", {})),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _state(token: Mapping[str, Any]) -> DraftState:
    if token["state"] not in ("accepted", "rejected", "untested"):
        raise ValueError(f"state {token['state']!r}")
    return cast(DraftState, token["state"])


def _kind(token: Mapping[str, Any]) -> TokenKind:
    if token["kind"] not in TOKEN_KINDS:
        raise ValueError(f"kind {token['kind']!r}")
    return cast(TokenKind, token["kind"])
