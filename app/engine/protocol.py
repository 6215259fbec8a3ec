"""The engine's wire protocol (docs/PROTOCOL.md) as small frozen values. Unknown fields are ignored."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

DraftState = Literal["accepted", "rejected", "untested"]
TokenKind = Literal["accepted", "correction", "bonus", "plain"]
TOKEN_KINDS: tuple[TokenKind, ...] = ("accepted", "correction", "bonus", "plain")


class ProtocolError(ValueError):
    """The engine sent something that is not in docs/PROTOCOL.md; the message quotes it."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that a model found likely in some place."""

    text: str
    probability: float
    token_id: int | None = None


@dataclass(frozen=True, slots=True)
class DraftedToken:
    """A token the draft proposed. `p` is None where the target was not asked.

    In a tree, `parent` is the index in the round's `drafted` of the token it follows, None for one that follows the
    known text. In a chain all are None, and each follows the one before it.
    """

    text: str
    p: float | None
    q: float | None
    state: DraftState
    token_id: int | None = None
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class EmittedToken:
    """A token of the answer. `text` is what it made final, `position` counts from the first token of the prompt.

    `target_top` and `draft_top` are what either model found likeliest in its place, where the request asked for that.
    """

    text: str
    kind: TokenKind
    p: float | None
    q: float | None
    position: int
    token_id: int | None = None
    target_top: tuple[Alternative, ...] = ()
    draft_top: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Prefill:
    """Sent while the prompt is being read. The first `cached_tokens` were known, and are not read again.

    An older engine does not tell them: then there are none.
    """

    processed_tokens: int
    total_tokens: int
    elapsed_ms: float
    cached_tokens: int = 0

    @property
    def to_read(self) -> int:
        """How many tokens are not known, read by now or not."""
        return self.total_tokens - self.cached_tokens

    @property
    def read(self) -> int:
        """How many of those are read."""
        return max(0, self.processed_tokens - self.cached_tokens)


@dataclass(frozen=True, slots=True)
class Round:
    """Sent when one draft and one verify are over.

    `drafter` is None where nothing was asked of one, and `is_parked` tells that the engine could have drafted and
    expected no gain of it. `plain_step_ms` is what a plain step costs now. `wire_ms` is the part of `verify_ms` that
    went between machines, 0 on one. An older engine tells none of that. In a round that `is_tree` the drafts branched,
    and each tells its parent.
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
    is_parked: bool = False
    plain_step_ms: float | None = None
    is_tree: bool = False
    wire_ms: float = 0.0
    # The event as the engine sent it, compactly: what is kept of a chat holds all that a newer engine told.
    wire: str = field(default="", repr=False, compare=False)

    @property
    def host_ms(self) -> float:
        """What the round took beside drafting and verifying."""
        return max(0.0, self.round_ms - self.draft_ms - self.verify_ms)

    @property
    def own_verify_ms(self) -> float:
        """Verifying without the wire between machines."""
        return max(0.0, self.verify_ms - self.wire_ms)

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
    """Sent once, last. Of `prompt_tokens` the first `cached_tokens` were known, and were not read again."""

    finish_reason: str
    seed: int | None
    prompt_tokens: int
    completion_tokens: int
    prefill_ms: float
    stats: Mapping[str, Any] = field(default_factory=dict)
    cached_tokens: int = 0

    @property
    def is_strict(self) -> bool:
        """Whether the engine says that its words are plain decoding's bit for bit, whoever else was answered."""
        return self.stats.get("exactness") == "strict"

    @property
    def read_tokens(self) -> int:
        """How many tokens of the prompt were read for this answer."""
        return self.prompt_tokens - self.cached_tokens


@dataclass(frozen=True, slots=True)
class Text:
    """Text that became final. Sent after the round it belongs to."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """As Text, of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """An `error` object, from an HTTP answer or from a chunk."""

    message: str
    kind: str = "server_error"
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an answer stands among others: it waits with `ahead` before it, is set aside for others, or is on again."""

    state: Literal["waiting", "aside", "on"]
    ahead: int = 0


Event = Prefill | Round | Finished | Text | Thought | Failure
_STANDINGS = {"preempted": Standing("aside"), "resumed": Standing("on")}


def parse_comment(text: str) -> Standing | None:
    """What a comment of the stream says of its answer; None for one that says nothing of it, as a ping."""
    match text.split():
        case ["waiting", number, "ahead"] if number.isdecimal():
            return Standing("waiting", int(number))
        case [word]:
            return _STANDINGS.get(word)
    return None


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
            delta = choice.get("delta", {})
            if thought := delta.get("reasoning_content"):
                events.append(Thought(str(thought)))
            if text := delta.get("content"):
                events.append(Text(str(text)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"{type(error).__name__}: {error} in {data[:400]}") from error
    return events


def parse_request_id(data: str) -> str | None:
    """The id that the engine gave the answer which a chunk belongs to, None where it told none."""
    try:
        name = json.loads(data)["id"]
    except (KeyError, TypeError, ValueError):
        return None
    return name if isinstance(name, str) else None


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
            total = int(value["total_tokens"])
            cached = _parse_cached(value, total)
            return [Prefill(int(value["processed_tokens"]), total, float(value["elapsed_ms"]), cached)]
        case "round":
            return [_parse_round(value)]
        case "finished":
            return [_parse_finished(value)]
        case _:  # a newer engine may tell more
            return []


def _parse_round(value: Mapping[str, Any]) -> Round:
    return Round(
        index=int(value["round"]),
        lookahead=int(value["lookahead"]),
        next_lookahead=int(value.get("next_lookahead", value["lookahead"])),
        drafted=tuple(_parse_drafted(token) for token in value["drafted"]),
        emitted=tuple(_parse_emitted(token) for token in value["emitted"]),
        draft_ms=float(value.get("draft_ms", 0.0)),
        verify_ms=float(value.get("verify_ms", 0.0)),
        wire_ms=float(value.get("wire_ms") or 0.0),
        round_ms=float(value.get("round_ms", 0.0)),
        drafter=None if value.get("drafter") is None else str(value["drafter"]),
        reason=str(value.get("reason") or ""),
        is_parked=value.get("parked") is True,
        plain_step_ms=_number(value.get("plain_step_ms")),
        is_tree=any("parent" in token for token in value["drafted"]),
        wire=json.dumps(value, separators=(",", ":")),
    )


def _parse_drafted(token: Mapping[str, Any]) -> DraftedToken:
    return DraftedToken(
        token["text"], _number(token.get("p")), _number(token.get("q")), _state(token), token.get("id"), _parent(token)
    )


def _parse_emitted(token: Mapping[str, Any]) -> EmittedToken:
    tops = (_parse_top(token.get(name)) for name in ("target_top", "draft_top"))
    p, q = _number(token.get("p")), _number(token.get("q"))
    return EmittedToken(token["text"], _kind(token), p, q, int(token["position"]), token.get("id"), *tops)


def _parse_top(top: Sequence[Mapping[str, Any]] | None) -> tuple[Alternative, ...]:
    return tuple(Alternative(one["text"], float(one["probability"] or 0.0), one.get("id")) for one in top or ())


def _parent(token: Mapping[str, Any]) -> int | None:
    parent = token.get("parent")
    return parent if isinstance(parent, int) and parent >= 0 else None


def _parse_finished(value: Mapping[str, Any]) -> Finished:
    return Finished(
        finish_reason=str(value.get("finish_reason", "stop")),
        seed=None if value.get("seed") is None else int(value["seed"]),
        prompt_tokens=int(value.get("prompt_tokens", 0)),
        completion_tokens=int(value.get("completion_tokens", 0)),
        prefill_ms=float(value.get("prefill_ms", 0.0)),
        stats=dict(value.get("stats", {})),
        cached_tokens=_parse_cached(value, int(value.get("prompt_tokens", 0))),
    )


def _parse_cached(value: Mapping[str, Any], total: int) -> int:
    """How many of `total` tokens of the prompt were known, 0 where it is not told."""
    return max(0, min(int(value.get("cached_tokens") or 0), total))


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


_OPEN, _CLOSE = "<think>", "</think>"  # as chats keep what was thought


class TaggedText:
    """Writes one answer, with its reasoning first, in tags. One that goes on an answer that `begun` is in it."""

    def __init__(self, begun: str = "") -> None:
        self._is_thinking = begun.lstrip().startswith(_OPEN) and _CLOSE not in begun

    def thought(self, text: str) -> str:
        """What the next text of the reasoning adds."""
        opened = "" if self._is_thinking else f"{_OPEN}\n"
        self._is_thinking = True
        return opened + text

    def said(self, text: str) -> str:
        """What the next text of the answer itself adds."""
        closed = f"\n{_CLOSE}\n\n" if self._is_thinking else ""
        self._is_thinking = False
        return closed + text
