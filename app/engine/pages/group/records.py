"""Machines as `mlx-spec hosts` and `GET /v1/group` tell of them, as frozen values. Knows no Qt."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.engine.protocol import ProtocolError


@dataclass(frozen=True, slots=True)
class FoundMachine:
    """One that offers itself now; memory in bytes, 0 where it is not told."""

    name: str
    fingerprint: str
    chip: str = ""
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class KnownMachine:
    """One whose key is kept. `role`: follower, which may be used from here; leader, which may use this one; refused."""

    name: str
    fingerprint: str
    role: str


@dataclass(frozen=True, slots=True)
class Neighbours:
    """This machine's own name, who offers himself, and who is known."""

    name: str = ""
    found: tuple[FoundMachine, ...] = ()
    known: tuple[KnownMachine, ...] = ()


@dataclass(frozen=True, slots=True)
class RankState:
    """A machine of the engine's group. `part` (0..1) of the target's weights lies there, of `layers` where these are
    not divided; what is not told yet is None."""

    host: str
    stage: str = "starting"
    since_s: float = 0.0
    memory_bytes: int | None = None
    free_bytes: int | None = None
    held_bytes: int | None = None
    part: float | None = None
    layers: tuple[int, int] | None = None
    progress: float | None = None
    latency_ms: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """All of them, rank by rank; the first is the engine's own."""

    stage: str
    message: str
    ranks: tuple[RankState, ...]
    way: str = ""
    exactness: str = ""


def parse_neighbours(value: Mapping[str, Any]) -> Neighbours:
    """A line of `mlx-spec hosts list --json`. Raises ProtocolError."""
    try:
        found = tuple(_parse_found(one) for one in value["found"])
        known = tuple(
            KnownMachine(str(one["name"]), str(one["fingerprint"]), str(one["role"])) for one in value["known"]
        )
        return Neighbours(str(value["name"]), found, known)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"no machines: {error}") from error


def _parse_found(value: Mapping[str, Any]) -> FoundMachine:
    memory = int(value.get("total_bytes") or 0)
    return FoundMachine(str(value["name"]), str(value["fingerprint"]), str(value.get("chip", "")), memory)


def parse_group(value: Mapping[str, Any]) -> Group:
    """The answer of `GET /v1/group`. Raises ProtocolError."""
    try:
        ranks = tuple(_parse_rank(one) for one in value["ranks"])
        way, exactness = str(value.get("way") or ""), str(value.get("exactness") or "")
        return Group(str(value["stage"]), str(value["message"]), ranks, way, exactness)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"no group: {error}") from error


def _parse_rank(value: Mapping[str, Any]) -> RankState:
    share = value.get("share") or {}
    layers = share.get("layers")
    return RankState(
        host=str(value["host"]),
        stage=str(value["stage"]),
        since_s=float(value.get("since_s") or 0.0),
        memory_bytes=value.get("memory_bytes"),
        free_bytes=value.get("free_bytes"),
        held_bytes=value.get("held_bytes"),
        part=None if share.get("part") is None else float(share["part"]),
        layers=None if layers is None else (int(layers[0]), int(layers[1])),
        progress=value.get("progress"),
        latency_ms=value.get("latency_ms"),
        error=str(value.get("error") or ""),
    )
