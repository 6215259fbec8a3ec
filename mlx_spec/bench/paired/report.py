"""A paired measurement as it is kept: conditions, every raw run, and the ratios that follow from them."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mlx_spec.bench.paired.modes import MODES, Measure, Mode, ModeName
from mlx_spec.bench.paired.runs import PairedRun
from mlx_spec.bench.plan import Scope
from mlx_spec.bench.runs import Block, frozen
from mlx_spec.bench.summary import Spread, spread


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure at one temperature: a ratio for each block where both sides have it, and their spread."""

    heading: str
    temperature: float
    by_block: tuple[tuple[Block, float], ...]
    spread: Spread


@dataclass(frozen=True, slots=True)
class SideRow:
    """One side at one temperature, in one `turn` where there are turns: medians over its answers; None where that is
    not measured. `of_first_turn` is the wait for the first text over that in the same chat's first turn. `others` and
    `stolen` are means."""

    side: str
    temperature: float
    turn: int | None
    speed: Spread | None
    tokens_per_round: float | None
    wall_seconds: Spread | None
    first_text_seconds: Spread | None
    of_first_turn: Spread | None
    prompt_tokens: float | None
    cached_tokens: float | None
    others: float | None
    stolen: float | None


@dataclass(frozen=True, slots=True)
class Sameness:
    """Of `blocks` in which all sides answered (each turn is one), in how many they said the same."""

    temperature: float
    same: int
    blocks: int


@dataclass(slots=True)
class PairedReport:
    """Everything that a paired measurement keeps. `complete` is False while runs are missing.

    `target` and `draft` are as they were asked for. `conditions` are facts without which the ratios say little, by
    name, ready for JSON; `notes` are sentences about what did not go as it should.
    """

    mode: ModeName
    machine: dict[str, Any]
    target: str
    draft: str | None
    scope: Scope
    conditions: dict[str, Any] = field(default_factory=dict)
    runs: list[PairedRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: the raw runs, and beside them everything that is computed from them."""
        mode = MODES[self.mode]
        summary: dict[str, Any] = {
            "ratios": [asdict(one) for one in comparisons(self.runs, mode)],
            "sides": [asdict(row) for row in side_rows(self.runs, mode)],
            "sameness": [asdict(one) for one in sameness(self.runs, mode)],
            "differences": differences(self.runs, mode),
        }
        return asdict(self) | {"summary": summary}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PairedReport":
        """A report as `to_dict` made it; what can be computed is computed anew."""
        known = {name: value for name, value in values.items() if name != "summary"}
        scope = Scope(**frozen(values["scope"]))
        runs = [PairedRun(**frozen(run)) for run in values["runs"]]
        if values["mode"] not in MODES:
            raise ValueError(f"no such mode: {values['mode']}")
        return cls(**known | {"scope": scope, "runs": runs})


def comparisons(runs: Sequence[PairedRun], mode: Mode) -> list[Comparison]:
    """Each measure of a mode at each temperature; none where no block has both sides."""
    found = []
    for temperature in temperatures(runs):
        here = [run for run in runs if run.temperature == temperature]
        for measure in mode.measures:
            by_block = tuple(_ratios([run for run in here if measure.turn in (None, run.turn)], measure))
            if by_block:
                values = spread([ratio for _, ratio in by_block])
                found.append(Comparison(measure.heading, temperature, by_block, values))
    return found


def _ratios(runs: Sequence[PairedRun], measure: Measure) -> Iterable[tuple[Block, float]]:
    references = {run.block: value for run in runs if run.side == measure.reference and (value := measure.of(run))}
    for run in runs:
        value = measure.of(run) if run.side == measure.side else None
        if value is not None and run.block in references:
            yield run.block, value / references[run.block]


def side_rows(runs: Sequence[PairedRun], mode: Mode) -> list[SideRow]:
    """A row for each temperature, side that answered, and turn."""
    groups = [
        [run for run in runs if (run.side, run.temperature, run.turn) == (side, temperature, turn)]
        for temperature in temperatures(runs)
        for side in mode.sides
        for turn in dict.fromkeys(run.turn for run in runs)
    ]
    firsts = {(run.side, run.block): run.first_text_seconds for run in runs if run.turn == 1}
    return [_side_row(group, firsts) for group in groups if group]


def _side_row(group: Sequence[PairedRun], firsts: Mapping[tuple[str, Block], float | None]) -> SideRow:
    def of_first_turn(run: PairedRun) -> float | None:
        first = firsts.get((run.side, run.block)) if run.turn != 1 else None
        return run.first_text_seconds / first if first and run.first_text_seconds else None

    rounds = sum(run.rounds or 0 for run in group)
    return SideRow(
        side=group[0].side,
        temperature=group[0].temperature,
        turn=group[0].turn,
        speed=_spread_of(group, lambda run: run.speed),
        tokens_per_round=sum(run.tokens for run in group) / rounds if rounds else None,
        wall_seconds=_spread_of(group, lambda run: run.wall_seconds),
        first_text_seconds=_spread_of(group, lambda run: run.first_text_seconds),
        of_first_turn=_spread_of(group, of_first_turn),
        prompt_tokens=_median([run.prompt_tokens for run in group]),
        cached_tokens=_median([run.cached_tokens for run in group]),
        others=_mean([run.others for run in group]),
        stolen=_mean([run.stolen for run in group]),
    )


def sameness(runs: Sequence[PairedRun], mode: Mode) -> list[Sameness]:
    """At each temperature, in how many blocks all sides said the same."""
    found = []
    for temperature in temperatures(runs):
        said = [
            {run.said for run in sides}
            for sides in _whole_blocks(runs, mode).values()
            if sides[0].temperature == temperature
        ]
        found.append(Sameness(temperature, sum(len(words) == 1 for words in said), len(said)))
    return found


def differences(runs: Sequence[PairedRun], mode: Mode) -> list[str]:
    """Sentences about answers that differ though they must not; there should be none."""
    if not mode.promises:
        return []
    return [
        f"The sides {' and '.join(repr(side) for side in mode.sides)} do not all say the same (temperature "
        f"{temperature:g}, {kind} prompt {prompt + 1}, repeat {repeat + 1}{f', turn {turn}' if turn else ''}): a "
        "near-tie of float32 or a fault, see tests/equality.py."
        for ((temperature, kind, prompt, repeat), turn), sides in _whole_blocks(runs, mode).items()
        if len({run.said for run in sides}) > 1
    ]


def _whole_blocks(runs: Sequence[PairedRun], mode: Mode) -> dict[tuple[Block, int | None], list[PairedRun]]:
    """The runs by block and turn, where all sides have answered."""
    by_block: dict[tuple[Block, int | None], list[PairedRun]] = {}
    for run in runs:
        by_block.setdefault((run.block, run.turn), []).append(run)
    return {block: sides for block, sides in by_block.items() if {run.side for run in sides} == set(mode.sides)}


def temperatures(runs: Iterable[PairedRun]) -> list[float]:
    """In the order that they came."""
    return list(dict.fromkeys(run.temperature for run in runs))


def _spread_of(group: Sequence[PairedRun], of: Callable[[PairedRun], float | None]) -> Spread | None:
    values = [value for run in group if (value := of(run)) is not None]
    return spread(values) if values else None


def _median(values: Sequence[float | None]) -> float | None:
    told = [value for value in values if value is not None]
    return statistics.median(told) if told else None


def _mean(values: Sequence[float | None]) -> float | None:
    told = [value for value in values if value is not None]
    return statistics.fmean(told) if told else None
