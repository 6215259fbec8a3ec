"""What is told of a group of ranks: who they are, what each holds, and how each is."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

RankStage = Literal["missing", "starting", "loading", "ready", "lost"]
"""missing: its host does not answer. starting: its process was started, and has not agreed to the group yet.
loading: it reads its share of the weights. ready: it follows. lost: it was one of the group, and is none any more."""

GroupStage = Literal["forming", "ready", "lost", "waiting"]
"""forming: the ranks start and load. ready: they answer. lost: a rank is gone, the others are being ended.
waiting: hosts do not answer, and are tried again."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a rank holds of the target: `part` (0..1) of its weights, and which of its layers, the first and the one
    behind the last; None where every rank has a part of each."""

    part: float
    layers: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankState:
    """One rank. Memory is in bytes, None where it is not known yet: of its machine, what was free of it when the rank
    came, and what the rank itself takes. `since_s` is by the clock of the leader's machine, in seconds since 1970; no
    other machine's clock is ever asked. `latency_ms` is the last round trip of the control channel."""

    rank: int
    host: str
    stage: RankStage = "starting"
    since_s: float = field(default_factory=time.time)
    memory_bytes: int | None = None
    free_bytes: int | None = None
    held_bytes: int | None = None
    share: Share | None = None
    progress: float | None = None
    latency_ms: float | None = None
    error: str | None = None

    def at(self, stage: RankStage, **changes: Any) -> "RankState":
        """The same rank at another stage, since now where it is another one."""
        since_s = self.since_s if stage == self.stage else time.time()
        return replace(self, stage=stage, since_s=since_s, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """A group as a whole. `way` and `exactness` say how the target is split, None before that is known. `times_formed`
    counts how often it came together since the server was started. `message` is one sentence for people; `error` says
    what it was lost of last, None where it never was."""

    stage: GroupStage
    message: str
    backend: str
    ranks: tuple[RankState, ...]
    way: str | None = None
    exactness: str | None = None
    times_formed: int = 0
    since_s: float = field(default_factory=time.time)
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As /v1/group answers it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "GroupState":
        """What `to_dict` made, also when it has been JSON since. Raises TypeError, KeyError for what is none."""
        ranks = tuple(_rank(one) for one in told["ranks"])
        return cls(**{**told, "ranks": ranks})


def _rank(told: Mapping[str, Any]) -> RankState:
    share = told.get("share")
    if share is not None:
        layers = share["layers"]
        share = Share(share["part"], None if layers is None else (layers[0], layers[1]))
    return RankState(**{**told, "share": share})
