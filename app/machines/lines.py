"""The machines as a list to be shown: those of the group first, this one before all, then those on the network."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QCoreApplication

from app.engine.pages.group.records import FoundMachine, Group, KnownMachine, Neighbours, RankState

translate = QCoreApplication.translate

LineKind = Literal["own", "chosen", "joined", "found"]
"""This machine; one of the group; one that may be added to it; one that has to be joined first."""


@dataclass(frozen=True, slots=True)
class Line:
    """One machine. `detail` is what it has and holds, `state` how it is; `is_wrong` where that is an accident."""

    name: str
    kind: LineKind
    fingerprint: str = ""
    detail: str = ""
    state: str = ""
    is_wrong: bool = False
    part: float | None = None


def lines_of(neighbours: Neighbours, chosen: Sequence[str], group: Group | None) -> tuple[Line, ...]:
    """All machines; `chosen` are the names of those that are to be in the group besides this one."""
    ranks = {rank.host: rank for rank in group.ranks} if group is not None else {}
    own = group.ranks[0] if group is not None and group.ranks else None
    lines = [_member(neighbours.name or translate("Machines", "This Mac"), "own", own, None)]
    found = {one.name: one for one in neighbours.found}
    lines += [_member(name, "chosen", ranks.get(name), found.get(name)) for name in chosen]
    followers = {one.fingerprint: one for one in neighbours.known if one.role == "follower"}
    lines += [_found(one, followers) for one in neighbours.found if one.name not in chosen]
    there = {one.fingerprint for one in neighbours.found}
    lines += [
        Line(one.name, "joined", one.fingerprint, "", translate("Machines", "does not offer itself now"))
        for one in followers.values()
        if one.fingerprint not in there and one.name not in chosen
    ]
    return tuple(lines)


def _member(name: str, kind: LineKind, rank: RankState | None, found: FoundMachine | None) -> Line:
    if rank is None:
        state = translate("Machines", "this Mac") if kind == "own" else translate("Machines", "not started yet")
        return Line(name, kind, "", _machine_words(found), state)
    return Line(
        name,
        kind,
        detail=" · ".join(_holding(rank)),
        state=_stage(rank),
        is_wrong=rank.stage in ("lost", "missing"),
        part=rank.part if rank.stage == "ready" else None,
    )


def _found(one: FoundMachine, followers: dict[str, KnownMachine]) -> Line:
    if one.fingerprint in followers:
        return Line(one.name, "joined", one.fingerprint, _machine_words(one), translate("Machines", "joined"))
    return Line(one.name, "found", one.fingerprint, _machine_words(one), translate("Machines", "offers itself"))


def _machine_words(one: FoundMachine | None) -> str:
    return " · ".join(filter(None, (one.chip, gigabytes(one.memory_bytes)))) if one is not None else ""


def _holding(rank: RankState) -> list[str]:
    """What it has, and what of the model lies there."""
    told = []
    if rank.memory_bytes:
        told.append(gigabytes(rank.memory_bytes))
    if rank.free_bytes is not None:
        told.append(translate("Machines", "{0} free").format(gigabytes(rank.free_bytes)))
    if rank.held_bytes:
        told.append(translate("Machines", "holds {0}").format(gigabytes(rank.held_bytes)))
    if rank.part is not None:
        told.append(translate("Machines", "{0:.0%} of the model").format(rank.part))
    if rank.layers is not None:
        told.append(translate("Machines", "layers {0}–{1}").format(rank.layers[0] + 1, rank.layers[1]))
    if rank.latency_ms is not None:
        told.append(translate("Machines", "{0:.1f} ms away").format(rank.latency_ms))
    return told


def _stage(rank: RankState) -> str:
    match rank.stage:
        case "ready":
            return translate("Machines", "in the group")
        case "loading" if rank.progress is not None:
            return translate("Machines", "loading, {0:.0%}").format(rank.progress)
        case "loading":
            return translate("Machines", "loading")
        case "lost":
            at = time.strftime("%H:%M", time.localtime(rank.since_s))
            return translate("Machines", "lost since {0}").format(at)
        case "missing":
            return translate("Machines", "does not answer")
    return translate("Machines", "connecting…")


def way_words(group: Group | None) -> str:
    """How a model is split over a group that answers."""
    if group is None or group.stage != "ready":
        return ""
    if group.way == "pipeline":
        return translate("Machines", "Whole layers lie on each: a round goes from one to the next.")
    if group.way == "tensor":
        return translate("Machines", "Each has a part of every layer: all work on a round at the same time.")
    return ""


def gigabytes(count: int) -> str:
    """Memory as people read it; empty where it is not known."""
    if not count:
        return ""
    return f"{count / 1e9:.1f} GB" if count < 10e9 else f"{count / 1e9:.0f} GB"
