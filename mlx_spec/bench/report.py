"""A measurement as it is kept: what was measured on, the plan, every raw run; and what follows from them."""

from dataclasses import asdict, dataclass, field
from typing import Any

from mlx_spec.bench.host import HostRun, host_summary
from mlx_spec.bench.plan import BenchPlan
from mlx_spec.bench.runs import Passes, Run, frozen
from mlx_spec.bench.summary import Row, differences, rows, rule_costs, sweep
from mlx_spec.bench.verifying import VerifyingRow


@dataclass(frozen=True, slots=True)
class PairFacts:
    """Who was measured. Bytes are those of the weights in memory; `head_bytes` of all heads together."""

    target: str
    draft: str | None
    target_bytes: int
    draft_bytes: int
    head_bytes: int = 0


@dataclass(slots=True)
class Report:
    """Everything that `mlx-spec bench` keeps. `complete` is False while runs are missing.

    `notes` say what was left out and why. `host` holds the runs of the host's measurement, `verifying` verifying by
    itself, where they were asked for.
    """

    machine: dict[str, Any]
    pair: PairFacts | None
    plan: BenchPlan | None
    runs: list[Run] = field(default_factory=list)
    passes: list[Passes] = field(default_factory=list)
    host: list[HostRun] = field(default_factory=list)
    verifying: list[VerifyingRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: the raw runs, and beside them everything that is computed from them."""
        return asdict(self) | {"summary": self.summary()}

    def rows(self) -> list[Row]:
        """The table of a pair that was measured."""
        assert self.pair is not None
        sizes = self.pair.target_bytes, self.pair.draft_bytes, self.pair.head_bytes
        return rows(self.runs, self.passes, *sizes)

    def summary(self) -> dict[str, Any]:
        """Rows, what rules cost, the sweep, the host, and where words differed that should not; from the raw runs."""
        computed: dict[str, Any] = {"host": [asdict(row) for row in host_summary(self.host)]}
        if self.pair is not None:
            table = self.rows()
            computed["rows"] = [asdict(row) for row in table]
            computed["rules"] = [asdict(cost) for cost in rule_costs(self.runs)]
            computed["sweep"] = [asdict(line) for line in sweep(self.runs)]
            computed["differences"] = differences(self.runs)
        return computed

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Report":
        """A report as `to_dict` made it; what can be computed is computed anew."""
        plan = values["plan"]
        return cls(
            machine=values["machine"],
            pair=PairFacts(**values["pair"]) if values["pair"] else None,
            plan=BenchPlan(**frozen(plan)) if plan else None,
            runs=[Run(**frozen(run)) for run in values["runs"]],
            passes=[Passes(**frozen(one)) for one in values["passes"]],
            host=[HostRun(**run) for run in values["host"]],
            verifying=[VerifyingRow(**row) for row in values["verifying"]],
            notes=list(values["notes"]),
            complete=bool(values["complete"]),
        )
