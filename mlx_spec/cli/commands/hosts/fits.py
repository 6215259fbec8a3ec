"""What of a model each machine would hold, split over all of them in each way that it has, and whether that fits."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

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
    """One way. `bytes` are of the weights by rank; `problem` says why it is none, or which machine has no room."""

    way: str
    exactness: str
    bytes: tuple[int, ...]
    same_as: str
    problem: str | None

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
        return f"{name} ({_SAME[self.same_as]}): {sizes}: {self.problem or 'fits'}"


def fits_of(folder: "ModelFolder", report: "GroupReport") -> list[Fit]:
    """Every way for the model in a folder. Raises ModelError where it cannot be loaded at all."""
    from mlx_spec.models.splitting.ways import ways_of

    return [_fit(way, report) for way in ways_of(folder, len(report.hosts))]


def _fit(way: "FoundWay", report: "GroupReport") -> Fit:
    problem = way.why_not
    if problem is None:
        short = [
            f"{one.name} has {human_bytes(one.facts.available_bytes)} free"
            for one, size in zip(report.hosts, way.nbytes, strict=True)
            if one.facts is not None and size > one.facts.available_bytes
        ]
        unknown = [one.name for one in report.hosts if one.facts is None]
        if short:
            problem = f"does not fit, as {' and '.join(short)}"
        elif unknown:
            problem = f"nobody knows, as {' and '.join(unknown)} did not answer"
    return Fit(way.way, way.exactness, way.nbytes, way.same_as, problem)
