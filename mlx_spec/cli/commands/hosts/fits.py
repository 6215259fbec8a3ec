"""What of a model each machine would hold, split over all of them in each way that it has, and whether that fits."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from mlx_spec.hosts.neighbours import neighbours
from mlx_spec.models.staging import human_bytes

if TYPE_CHECKING:
    from mlx_spec.hosts.finding.report import GroupReport
    from mlx_spec.models.folder import ModelFolder
    from mlx_spec.models.splitting.ways import FoundWay

_SAME: Final = {
    "one machine": "words as on one machine",
    "alone": "rows apart, but other sums than on one machine",
    "nothing": "near ties may differ",
}


@dataclass(frozen=True, slots=True)
class Fit:
    """One way. `bytes` are of the weights by rank, `layers` how many whole ones each has, None where each has a part of
    all; `problem` says why it is none, or which machine has no room. A pass waits `waits` times for a message, and of
    each row a rank sends `bytes_per_row`: strict and fast sums compare by these."""

    way: str
    exactness: str
    bytes: tuple[int, ...]
    same_as: str
    problem: str | None
    layers: tuple[int, ...] | None = None
    waits: int = 0
    bytes_per_row: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    @property
    def words(self) -> str:
        """A line for people."""
        name = self.way if self.way == "pipeline" else f"{self.way}, {self.exactness}"
        if not self.bytes:
            return f"{name}: {self.problem}"
        sizes = " + ".join(human_bytes(size) for size in self.bytes)
        counts = f"{' + '.join(map(str, self.layers))} layers, " if self.layers is not None else ""
        return f"{name} ({_SAME[self.same_as]}): {counts}{sizes}, {self._wire}: {self.problem or 'fits'}"

    @property
    def _wire(self) -> str:
        times = "once" if self.waits == 1 else f"{self.waits} times"
        return f"a pass waits {times} for a message, {human_bytes(self.bytes_per_row)} a row"


def fits_of(folder: "ModelFolder", report: "GroupReport") -> list[Fit]:
    """Every way for the model in a folder, as `serve` would split it by what the machines have free now. Raises
    ModelError where it cannot be loaded at all."""
    from mlx_spec.models.splitting.ways import ways_of

    rooms = _rooms(report)
    known = [room for room in rooms if room is not None]
    ways = ways_of(folder, len(rooms), known if len(known) == len(rooms) else None)
    return [_fit(way, report, rooms) for way in ways]


def _rooms(report: "GroupReport") -> list[float | None]:
    """What each rank has free, of a machine that it may share with others."""
    on = neighbours([one.name for one in report.hosts])
    facts = [one.facts for one in report.hosts]
    return [None if one is None else max(1.0, one.available_bytes / len(on[rank])) for rank, one in enumerate(facts)]


def _fit(way: "FoundWay", report: "GroupReport", rooms: Sequence[float | None]) -> Fit:
    problem = way.why_not
    if problem is None:
        short = [
            f"{one.name} has {human_bytes(int(room))} free"
            for one, size, room in zip(report.hosts, way.nbytes, rooms, strict=True)
            if room is not None and size > room
        ]
        unknown = [one.name for one in report.hosts if one.facts is None]
        if short:
            problem = f"does not fit, as {' and '.join(short)}"
        elif unknown:
            problem = f"nobody knows, as {' and '.join(unknown)} did not answer"
    wire = way.wire
    return Fit(way.way, way.exactness, way.nbytes, way.same_as, problem, way.layers, wire.hops, wire.bytes_per_row)
