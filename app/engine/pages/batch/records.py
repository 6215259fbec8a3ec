"""What the engine does at this moment: `GET /v1/batch` (docs/PROTOCOL.md) as frozen values. Knows no Qt."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from app.engine.protocol import ProtocolError

RowKind = Literal["read", "plain", "accepted", "rejected"]
ROW_KINDS: tuple[RowKind, ...] = ("read", "plain", "accepted", "rejected")


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer's rows in the newest step: of its prompt, of its text, and drafts that stood or fell."""

    read: int = 0
    plain: int = 0
    accepted: int = 0
    rejected: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.read + self.plain + self.accepted + self.rejected


@dataclass(frozen=True, slots=True)
class RunningRequest:
    """One that is read or answered. `chat` is the `prompt_cache_key` that it was asked with."""

    id: str
    chat: str | None = None
    state: str = "writing"
    priority: str = "normal"
    prompt_tokens: int = 0
    read_tokens: int = 0
    written_tokens: int = 0
    rows: Rows = field(default_factory=Rows)
    blocks: int = 0


@dataclass(frozen=True, slots=True)
class WaitingRequest:
    """One whose turn comes when `ahead` others have had theirs."""

    id: str
    chat: str | None = None
    priority: str = "normal"
    ahead: int = 0
    prompt_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Blocks:
    """The pool of keys and values: how many blocks there are, are used, and are used by several; tokens in a block."""

    total: int = 0
    used: int = 0
    shared: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """All answers of one step. `max_batch` answers are made at once at the most; `waiting` is in order."""

    policy: str = ""
    max_batch: int = 1
    running: tuple[RunningRequest, ...] = ()
    waiting: tuple[WaitingRequest, ...] = ()
    blocks: Blocks = field(default_factory=Blocks)
    tokens_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """A request of this program. Before its first chunk `id` is None: then `chat` tells which it is."""

    id: str | None
    title: str
    stop: Callable[[], object]
    chat: str | None = None

    def is_of(self, other: RunningRequest | WaitingRequest) -> bool:
        """Whether the engine speaks of this one."""
        if self.id is not None:
            return other.id == self.id
        return self.chat is not None and other.chat == self.chat


def parse_batch(body: Mapping[str, Any]) -> Batch:
    """The answer of `GET /v1/batch`. Raises ProtocolError when it is none."""
    try:
        speed = body.get("tokens_per_second")
        return Batch(
            str(body.get("policy") or ""),
            max(1, int(body.get("max_batch") or 1)),
            tuple(map(_parse_running, body["running"])),
            tuple(map(_parse_waiting, body["waiting"])),
            Blocks(**_counts(body.get("blocks") or {}, ("total", "used", "shared", "tokens"))),
            None if speed is None else float(speed),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"{type(error).__name__}: {error} in {str(body)[:400]}") from error


def _parse_running(value: Mapping[str, Any]) -> RunningRequest:
    counts = _counts(value, ("prompt_tokens", "read_tokens", "written_tokens", "blocks"))
    rows = Rows(**_counts(value.get("rows") or {}, ROW_KINDS))
    return RunningRequest(**_name(value), state=str(value["state"]), rows=rows, **counts)


def _parse_waiting(value: Mapping[str, Any]) -> WaitingRequest:
    return WaitingRequest(**_name(value), **_counts(value, ("ahead", "prompt_tokens")))


def _name(value: Mapping[str, Any]) -> dict[str, Any]:
    chat = value.get("chat")
    priority = str(value.get("priority") or "normal")
    return {"id": str(value["id"]), "chat": None if chat is None else str(chat), "priority": priority}


def _counts(value: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: max(0, int(value.get(name) or 0)) for name in names}
