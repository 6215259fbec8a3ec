"""A measurement of answers by schemas as it is kept: every answer, and the figures that follow."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from mlx_spec.bench.constrained.schemas import SCHEMAS
from mlx_spec.bench.runs import frozen

CONSTRAINED: Final = "constrained"
DRAFTED: Final = "ours auto"
PLAIN: Final = "ours plain"
BASELINE: Final = "mlx-lm plain"
SIDES: Final = (DRAFTED, PLAIN, BASELINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstrainedScope:
    """How much of it: the first `schemas`, each with so many seeds, at each temperature, up to `answer_tokens` long."""

    schemas: int = len(SCHEMAS)
    seeds: int = 5
    temperatures: tuple[float, ...] = (0.0, 0.8)
    answer_tokens: int = 160


@dataclass(frozen=True, slots=True)
class ConstrainedRun:
    """One answer. `host_seconds` are those that the decoding thread was busy by itself. `valid` is None where it was
    cut, or where nothing can judge it."""

    contender: str
    schema: str
    temperature: float
    seed: int
    tokens: int
    seconds: float
    host_seconds: float
    token_ids: tuple[int, ...]
    drafted: int
    accepted: int
    rounds: int
    valid: bool | None


@dataclass(frozen=True, slots=True)
class ConstrainedRow:
    """One temperature. Ratios are of tokens a second, median, least and greatest over the schemas (seeds together), and
    of all tokens to all seconds. `same` are answers with drafts whose ids are those without, of `answers`; `invalid`
    counts whole answers that the schema refuses, `cut` those that came to no end. `host_ms_per_round` is what our own
    thread takes for a round with drafts."""

    temperature: float
    answers: int
    same: int
    whole: int
    invalid: int
    cut: int
    tokens_per_second: dict[str, float]
    over_plain: tuple[float, float, float, float]
    over_mlx_lm: tuple[float, float, float, float]
    tokens_per_round: float
    acceptance: float
    host_ms_per_round: float


@dataclass(slots=True)
class ConstrainedReport:
    """Everything that is kept. `complete` is False while runs are missing; `judged` tells whether `jsonschema` was
    there to judge answers by."""

    machine: dict[str, Any]
    target: str
    draft: str | None
    scope: ConstrainedScope
    runs: list[ConstrainedRun] = field(default_factory=list)
    judged: bool = True
    complete: bool = False
    mode: str = CONSTRAINED

    def rows(self) -> list[ConstrainedRow]:
        """A row a temperature."""
        return [
            _row(temperature, [run for run in self.runs if run.temperature == temperature])
            for temperature in dict.fromkeys(run.temperature for run in self.runs)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: the raw answers, and beside them everything that is computed from them."""
        return asdict(self) | {"rows": [asdict(row) for row in self.rows()]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ConstrainedReport":
        """A report as `to_dict` made it; what can be computed is computed anew."""
        known = {name: value for name, value in values.items() if name != "rows"}
        scope = ConstrainedScope(**frozen(values["scope"]))
        return cls(**known | {"scope": scope, "runs": [ConstrainedRun(**frozen(run)) for run in values["runs"]]})


def _row(temperature: float, runs: Sequence[ConstrainedRun]) -> ConstrainedRow:
    of = {name: [run for run in runs if run.contender == name] for name in SIDES}
    plain_ids = {(run.schema, run.seed): run.token_ids for run in of[PLAIN]}
    drafted = of[DRAFTED]
    rounds = max(1, sum(run.rounds for run in drafted))
    return ConstrainedRow(
        temperature,
        len(drafted),
        sum(run.token_ids == plain_ids[run.schema, run.seed] for run in drafted),
        sum(run.valid is True for run in drafted),
        sum(run.valid is False for run in runs),
        sum(run.valid is None for run in drafted),
        {name: _rate(some) for name, some in of.items()},
        _ratios(drafted, of[PLAIN]),
        _ratios(drafted, of[BASELINE]),
        sum(run.tokens for run in drafted) / rounds,
        sum(run.accepted for run in drafted) / max(1, sum(run.drafted for run in drafted)),
        1000 * sum(run.host_seconds for run in drafted) / rounds,
    )


def _rate(runs: Sequence[ConstrainedRun]) -> float:
    return sum(run.tokens for run in runs) / max(1e-9, sum(run.seconds for run in runs))


def _ratios(ours: Sequence[ConstrainedRun], others: Sequence[ConstrainedRun]) -> tuple[float, float, float, float]:
    """Of schemas: median, least, greatest; and of all together."""
    found = []
    for name in dict.fromkeys(run.schema for run in ours):
        some, rest = ([run for run in runs if run.schema == name] for runs in (ours, others))
        found.append(_rate(some) / max(1e-9, _rate(rest)))
    return statistics.median(found), min(found), max(found), _rate(ours) / max(1e-9, _rate(others))
