"""A look at the machines of a group before they are one: who answers, with what, and how quick the ways are."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.finding.facts import MachineFacts
from mlx_spec.hosts.finding.measuring import WayMeasured
from mlx_spec.hosts.finding.report import GroupReport, HostReport, LinkReport
from mlx_spec.hosts.finding.ways import Way

MEASURE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Member:
    """A machine of a group, rank by rank: its name, where the others reach it (empty where nobody knows), and how it is
    asked. `way` raises LookaheadError where that is not possible."""

    name: str
    address: str
    way: Callable[[], Way]


def check(
    members: Sequence[Member], backend: str = "ring", tell: Callable[[str], object] = lambda line: None
) -> GroupReport:
    """Ask all machines, and measure the ways one after the other, so that no measurement shares a wire with another."""
    with ExitStack() as stack, ThreadPoolExecutor(max(1, len(members))) as pool:
        tell(f"Asking {len(members)} machines…")
        opened = list(pool.map(_opened, members))
        for way, _ in opened:
            if way is not None:
                stack.callback(way.close)
        reports = [
            HostReport(rank, one.name, one.address, *_facts_of(way, problem))
            for rank, (one, (way, problem)) in enumerate(zip(members, opened, strict=True))
        ]
        links = []
        for here, there in _pairs(len(members)):
            one, other = opened[here][0], opened[there][0]
            if one is not None and other is not None and reports[here].facts and reports[there].facts:
                tell(f"Measuring from {members[here].name} (rank {here}) to {members[there].name} (rank {there})…")
                links.append(_measured(members, here, there, one, other))
        return GroupReport(tuple(reports), tuple(links), backend)


def _opened(member: Member) -> tuple[Way | None, str | None]:
    try:
        way = member.way()
    except LookaheadError as error:
        return None, str(error)
    return way, None


def _facts_of(way: Way | None, problem: str | None) -> tuple[MachineFacts | None, str | None]:
    if way is None:
        return None, problem
    try:
        told = way.ask({"ask": "facts"})
        if "problem" in told:
            return None, str(told["problem"])
        return MachineFacts.of(told), None
    except LookaheadError as error:
        return None, str(error)


def _pairs(count: int) -> list[tuple[int, int]]:
    """Each way of a ring in both directions, and those between rank 0 and everybody: there the steps go."""
    near = {frozenset((rank, (rank + 1) % count)) for rank in range(count)} | {
        frozenset((0, rank)) for rank in range(count)
    }
    both = [tuple(sorted(pair)) for pair in near if len(pair) == 2]
    return sorted([(here, there) for here, there in both] + [(there, here) for here, there in both])


def _measured(members: Sequence[Member], here: int, there: int, one: Way, other: Way) -> LinkReport:
    """Rank `here` measures the way to rank `there`."""
    name, aim = members[here].name, members[there]
    if not aim.address:
        words = f"Nobody knows {aim.name}'s address: name it by one, or write it into a hostfile as `ips`."
        return LinkReport(here, there, problem=words)
    try:
        echo = other.ask({"ask": "echo"})
        told: dict[str, Any] = echo
        if "problem" not in echo:
            told = one.ask({"ask": "reach", "address": aim.address} | echo, MEASURE_S)
        if "problem" not in told:
            return LinkReport(here, there, WayMeasured(float(told["round_trip_ms"]), float(told["bytes_per_s"])))
        why = str(told["problem"])
    except (LookaheadError, KeyError, TypeError, ValueError) as error:
        why = str(error)
    return LinkReport(
        here,
        there,
        problem=f"{name} does not reach {aim.name} ({why}): let {aim.name}'s firewall take connections for Python,"
        " and see that both are on one network.",
    )
