"""A measurement of servers as it is kept: conditions, every answer with its times, and the figures that follow."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from mlx_spec.bench.paired.serving.answers import Arrival, Load, Served, ServedAnswer
from mlx_spec.bench.paired.serving.figures import (
    Ratios,
    arrival_figures,
    figures_of,
    multiple_ratio,
    ratios_of,
)
from mlx_spec.bench.paired.serving.loads import load_figures
from mlx_spec.bench.paired.serving.plan import BEFORE, OURS, PLAIN, THEIRS, ServePlan
from mlx_spec.bench.runs import frozen
from mlx_spec.bench.summary import Spread

SERVE: Final = "serve"
_PAIRS: Final = ((OURS, THEIRS), (OURS, BEFORE), (OURS, PLAIN))
_PROMISING: Final = (OURS, PLAIN)


@dataclass(slots=True)
class ServeReport:
    """Everything that is kept; fields as `PairedReport` has them."""

    machine: dict[str, Any]
    target: str
    draft: str | None
    plan: ServePlan
    conditions: dict[str, Any] = field(default_factory=dict)
    runs: list[Served] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = False
    mode: str = SERVE

    def ratios(self) -> list[Ratios]:
        """Ours over each of the others, at each number at once."""
        return [one for side, reference in _PAIRS for one in ratios_of(self.runs, side, reference)]

    def arrival_ratio(self) -> Spread | None:
        """How much longer the longest gap was than the usual one, ours over theirs."""
        return multiple_ratio(self.arrivals, OURS, THEIRS)

    def differences(self) -> list[str]:
        """Sentences about answers of ours that differ from those alone; there should be none."""
        return [
            f"{_where(one, answer)} has other words than alone: a near-tie of float32, or a fault."
            for one, answer in self._answers()
            if one.side in _PROMISING and answer.same_alone is False
        ]

    def failures(self) -> list[str]:
        """Sentences about answers that did not come, but for those that were refused, which are counted."""
        failed = ((one, answer) for one, answer in self._answers() if answer.error is not None and not answer.refused)
        return [f"{_where(one, answer)}: {answer.error}" for one, answer in failed]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: the raw answers, and beside them everything that is computed from them."""
        summary: dict[str, Any] = {
            "figures": [asdict(one) for one in figures_of(self.runs)],
            "ratios": [asdict(one) for one in self.ratios()],
            "arrivals": [asdict(one) for one in arrival_figures(self.arrivals)],
            "loads": [asdict(one) for one in load_figures(self.loads)],
            "arrival_ratio": asdict(ratio) if (ratio := self.arrival_ratio()) else None,
            "differences": self.differences(),
            "failures": self.failures(),
        }
        return asdict(self) | {"summary": summary}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ServeReport":
        """A report as `to_dict` made it; what can be computed is computed anew."""
        known = {name: value for name, value in values.items() if name != "summary"}
        return cls(
            **known
            | {
                "plan": ServePlan(**frozen(values["plan"])),
                "runs": [Served.from_dict(one) for one in values["runs"]],
                "arrivals": [Arrival.from_dict(one) for one in values["arrivals"]],
                "loads": [Load.from_dict(one) for one in values.get("loads", ())],
            }
        )

    def _answers(self) -> Iterator[tuple[Served | Arrival | Load, ServedAnswer]]:
        asked: Sequence[Served | Arrival | Load] = [*self.runs, *self.arrivals, *self.loads]
        for one in asked:
            for answer in one.answers:
                yield one, answer


def _where(one: Served | Arrival | Load, answer: ServedAnswer) -> str:
    if isinstance(one, Load):
        return f"Request {answer.number} of {one.side} ({one.rate:g} a second, turn {one.turn + 1})"
    how = f"{one.at_once} at once" if isinstance(one, Served) else "a long prompt among writers"
    return f"Request {answer.number} of {one.side} ({how}, turn {one.turn + 1})"
