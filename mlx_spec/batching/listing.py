"""What is under way, as `GET /v1/batch` tells it: each answer with its rows of the newest step, and who waits."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlx_spec.batching.entry import Entry
from mlx_spec.batching.metrics import MetricsSnapshot
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.events import RoundFinished

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """What an answer had of a step: tokens that were read, the known one of its round, drafts by what became of
    them (those that were never tested are rejected too)."""

    read: int = 0
    plain: int = 0
    accepted: int = 0
    rejected: int = 0

    @classmethod
    def of(cls, done: RoundFinished) -> "Rows":
        """Of a round."""
        return cls(plain=1, accepted=done.accepted_count, rejected=len(done.drafted) - done.accepted_count)


@dataclass(frozen=True, slots=True)
class Blocks:
    """The pool: blocks in all, those that somebody holds and of these the ones that several do; what one holds."""

    total: int
    used: int
    shared: int
    tokens: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Listing:
    """One instant, as plain values that any thread may read."""

    settings: BatchSettings
    blocks: Blocks
    running: tuple[Json, ...] = ()
    waiting: tuple[Json, ...] = ()

    def report(self, metrics: MetricsSnapshot) -> Json:
        """All of it, ready for JSON."""
        return {
            "policy": self.settings.policy,
            "max_batch": self.settings.max_batch,
            "running": list(self.running),
            "waiting": list(self.waiting),
            "blocks": asdict(self.blocks),
            "tokens_per_second": metrics.tokens_per_s,
            "metrics": asdict(metrics),
        }


def listing_of(
    settings: BatchSettings,
    blocks: Blocks,
    entries: Sequence[Entry],
    ahead: Mapping[str, int],
    had: Mapping[str, tuple[str | None, Rows]],
) -> Listing:
    """That of all `entries`, in the order of arrival; by request how many come before each who waits, and what chat
    each is of, with what it `had` of the newest step."""
    on = [_running(entry, *had[entry.request_id]) for entry in entries if entry.is_on]
    waits = [_waiting(entry, had[entry.request_id][0], ahead[entry.request_id]) for entry in entries if not entry.is_on]
    return Listing(settings, blocks, tuple(on), tuple(waits))


def _running(entry: Entry, chat: str | None, rows: Rows) -> Json:
    """An answer that is on."""
    return {
        "id": entry.request_id,
        "chat": chat,
        "state": entry.state,
        "priority": entry.priority,
        "prompt_tokens": entry.prompt_tokens,
        "read_tokens": min(entry.read_tokens, entry.prompt_tokens),
        "written_tokens": entry.written_tokens,
        "rows": asdict(rows),
        "blocks": entry.blocks,
    }


def _waiting(entry: Entry, chat: str | None, ahead: int) -> Json:
    """A request that waits for the first time, or again after it stepped aside."""
    return {
        "id": entry.request_id,
        "chat": chat,
        "state": entry.state,
        "priority": entry.priority,
        "ahead": ahead,
        "prompt_tokens": entry.prompt_tokens,
        "written_tokens": entry.written_tokens,
    }
