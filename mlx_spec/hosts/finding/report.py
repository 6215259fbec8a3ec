"""What a look at the machines of a group has found: values, with the sentences for people."""

from dataclasses import asdict, dataclass
from typing import Any

from mlx_spec.hosts.finding.facts import MachineFacts
from mlx_spec.hosts.finding.measuring import WayMeasured


@dataclass(frozen=True, slots=True)
class HostReport:
    """One machine. `facts` is None where it could not be asked, and `problem` says why and what to do. `address` is
    where the others reach it."""

    rank: int
    name: str
    address: str
    facts: MachineFacts | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class LinkReport:
    """The way from one rank to another, as that one measured it over TCP; `problem` where it is not to be reached."""

    here: int
    there: int
    way: WayMeasured | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class GroupReport:
    """All machines, rank by rank, the ways between neighbours in the ring and to rank 0, and what is to be done before
    they can be a group; nothing where they can."""

    hosts: tuple[HostReport, ...]
    links: tuple[LinkReport, ...]
    backend: str = "ring"

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for each thing that is in the way."""
        problems = [one.problem for one in self.hosts if one.problem is not None]
        problems += [one.problem for one in self.links if one.problem is not None]
        return (*problems, *differences(self.hosts))

    @property
    def slowest(self) -> WayMeasured | None:
        """The worst round trip and the worst bandwidth of all ways, which the whole ring has; None without any."""
        ways = [one.way for one in self.links if one.way is not None]
        if not ways:
            return None
        return WayMeasured(max(one.round_trip_ms for one in ways), min(one.bytes_per_s for one in ways))

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        slowest = self.slowest
        told = {
            "backend": self.backend,
            "hosts": [asdict(one) for one in self.hosts],
            "links": [asdict(one) for one in self.links],
            "slowest": slowest.to_dict() if slowest is not None else None,
            "problems": list(self.problems),
        }
        if self.backend != "ring":
            told["not_measured"] = f"{self.backend} itself, over Thunderbolt: what is told here is TCP beside it"
        return told


def differences(hosts: tuple[HostReport, ...]) -> list[str]:
    """A sentence for each machine that computes with other versions than rank 0, which would bring other words."""
    told = [one for one in hosts if one.facts is not None]
    if not told or told[0].rank != 0:
        return []
    first, found = told[0], []
    assert first.facts is not None
    for one in told[1:]:
        assert one.facts is not None
        if (other := first.facts.versions.differences(one.facts.versions, one.name)) is not None:
            found.append(f"{one.name} computes with other versions ({other}): install the same on both.")
    return found
