"""From raw runs to columns: pure functions of values, each with its formula. `docs/benchmarks.md` explains them."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mlx_spec.bench.plan import BASELINE, FIXED, MLX_LM_SPECULATION, PLAIN, RULES, length_of
from mlx_spec.bench.runs import Block, Passes, Run

ALL_KINDS: Final = "all"
_NO_DRAFT_LENGTH: Final = 0


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of `count` values, with the least and the greatest."""

    median: float
    least: float
    greatest: float
    count: int


@dataclass(frozen=True, slots=True)
class Row:
    """One contender at one temperature, over the prompts of one kind or of all. Shares are fractions of decoding time;
    None where there is nothing to compute it from."""

    contender: str
    temperature: float
    kind: str
    tokens_per_second: float
    ratio: Spread | None
    speculation_ratio: Spread | None
    tokens_per_round: float
    acceptance: float | None
    draft_share: float | None
    verify_share: float | None
    host_share: float | None
    memory: float | None
    efficiency: float | None


@dataclass(frozen=True, slots=True)
class RuleCost:
    """`coupled` beside another acceptance rule at the same length: acceptance of both, and `coupled`'s speed as a
    multiple of the other's."""

    temperature: float
    rule: str
    coupled_acceptance: float
    rule_acceptance: float
    coupled_tokens_per_round: float
    rule_tokens_per_round: float
    speed: Spread


@dataclass(frozen=True, slots=True)
class SweepLine:
    """Fixed lengths against a chosen one: ratios to mlx-lm plain by length, the best length, and the speed of the
    contender `auto` as a multiple of that length's."""

    temperature: float
    kind: str
    auto: str
    ratios: tuple[tuple[int, float], ...]
    auto_ratio: float
    best_length: int
    of_best: Spread


def rows(
    runs: Sequence[Run], passes: Sequence[Passes], target_bytes: int, draft_bytes: int, head_bytes: int = 0
) -> list[Row]:
    """A row for each temperature, contender and kind, and one for all kinds together. Bytes are those of weights."""
    alone = {one.block: one for one in passes}
    sizes = target_bytes, draft_bytes, head_bytes
    groups: dict[tuple[float, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        for kind in (ALL_KINDS, run.kind):
            groups[run.temperature, kind, run.contender].append(run)
    return [
        _row(group, [run for run in runs if run.contender == BASELINE], runs, alone, kind, sizes)
        for (_, kind, _), group in groups.items()
    ]


def _row(
    group: Sequence[Run],
    plain: Sequence[Run],
    runs: Sequence[Run],
    alone: dict[Block, Passes],
    kind: str,
    sizes: tuple[int, int, int],
) -> Row:
    milliseconds = 1e3 * sum(run.seconds for run in group)
    first = group[0]
    told = all(run.draft_ms is not None and run.verify_ms is not None for run in group)
    with_passes = [(run, alone[run.block]) for run in group if run.block in alone]
    steps = {run.block: plain_step_ms(run) for run in plain}
    with_steps = [(run, steps[run.block]) for run in group if run.block in steps]
    counted = all(run.draft_passes is not None for run in group)
    memory = [run.peak_bytes / (sum(sizes) + one.cache_bytes) for run, one in with_passes if run.peak_bytes is not None]
    return Row(
        contender=first.contender,
        temperature=first.temperature,
        kind=kind,
        tokens_per_second=1e3 * sum(run.tokens for run in group) / milliseconds,
        ratio=speed_ratio(group, plain),
        speculation_ratio=speed_ratio(group, [run for run in runs if run.contender == MLX_LM_SPECULATION]),
        tokens_per_round=_tokens_per_round(group),
        acceptance=_acceptance(group),
        draft_share=sum(run.draft_ms or 0.0 for run in group) / milliseconds if told else None,
        verify_share=sum(run.verify_ms or 0.0 for run in group) / milliseconds if told else None,
        host_share=host_share(with_passes) if counted and len(with_passes) == len(group) else None,
        memory=max(memory) if memory else None,
        efficiency=round_efficiency(with_steps, *sizes[:2]) if counted and with_steps else None,
    )


def spread(values: Sequence[float]) -> Spread:
    """Median and range of at least one value."""
    return Spread(statistics.median(values), min(values), max(values), len(values))


def speed_ratio(group: Iterable[Run], others: Iterable[Run]) -> Spread | None:
    """Speeds of one contender as multiples of another's in the same block; None where they share none."""
    speeds = {run.block: run.tokens_per_second for run in others if run.tokens}
    ratios = [run.tokens_per_second / speeds[run.block] for run in group if run.block in speeds]
    return spread(ratios) if ratios else None


def plain_step_ms(plain: Run) -> float:
    """Milliseconds of a plain step, from a run of plain decoding."""
    return 1e3 * plain.seconds / plain.rounds


def host_share(runs: Sequence[tuple[Run, Passes]]) -> float:
    """1 - (time of the same passes by themselves) / (time of the runs); noise can push it below 0."""
    took = sum(1e3 * run.seconds for run, _ in runs)
    return 1 - sum(models_ms(run, alone) for run, alone in runs) / took


def models_ms(run: Run, alone: Passes) -> float:
    """What the forward passes of a run take by themselves: n drafted tokens are scored in a pass over n + 1."""
    verify_ms = dict(alone.verify_ms)
    verified = sum(rounds * verify_ms[drafted + 1] for drafted, rounds in run.rounds_by_draft)
    return verified + (run.draft_passes or 0) * (alone.draft_ms or 0.0)


def round_efficiency(runs: Sequence[tuple[Run, float]], target_bytes: int, draft_bytes: int) -> float:
    """Ideal time over the time it took, with each run the time of a plain step, s, in the same block.

    Ideal: every verify costs one plain step, and every draft pass the reading of the draft's weights as fast as a plain
    step reads the target's, s·draft_bytes/target_bytes.
    """
    took = sum(1e3 * run.seconds for run, _ in runs)
    ideal = sum(step * (run.rounds + (run.draft_passes or 0) * draft_bytes / target_bytes) for run, step in runs)
    return ideal / took


def rule_costs(runs: Sequence[Run]) -> list[RuleCost]:
    """`coupled` against each other rule, wherever both ran."""
    costs = []
    for temperature in _temperatures(runs):
        coupled = _of(runs, FIXED, temperature)
        for rule in RULES:
            other = _of(runs, rule, temperature)
            speed = speed_ratio(coupled, other)
            if speed is not None:
                acceptances = (_acceptance(coupled) or 0.0, _acceptance(other) or 0.0)
                lengths = (_tokens_per_round(coupled), _tokens_per_round(other))
                costs.append(RuleCost(temperature, rule, *acceptances, *lengths, speed))
    return costs


def sweep(runs: Sequence[Run]) -> list[SweepLine]:
    """For each temperature and kind: fixed lengths of the draft model against the lengths that a controller chose.

    Empty unless fixed lengths ran. The best of nine noisy values is better than it should be, so this judges a
    controller too hard rather than too kindly.
    """
    lines = []
    for temperature in _temperatures(runs):
        for kind in dict.fromkeys(run.kind for run in runs):
            here = [run for run in runs if run.temperature == temperature and run.kind == kind]
            plain = [run for run in here if run.contender == BASELINE]
            fixed = {length: [run for run in here if _fixed_length(run) == length] for length in _lengths(here)}
            ratios = {length: found.median for length, group in fixed.items() if (found := speed_ratio(group, plain))}
            if not set(ratios) - {_NO_DRAFT_LENGTH}:
                continue
            best = max(ratios, key=lambda length: ratios[length])
            for auto in ("model", "auto"):
                group = [run for run in here if run.contender == auto]
                ratio, of_best = speed_ratio(group, plain), speed_ratio(group, fixed[best])
                if ratio and of_best:
                    by_length = tuple(ratios.items())
                    lines.append(SweepLine(temperature, kind, auto, by_length, ratio.median, best, of_best))
    return lines


def differences(runs: Sequence[Run]) -> list[str]:
    """Sentences about runs of ours that did not say plain decoding's words for the same seed; there should be none.

    The rules `token` and `block` promise the distribution only, and are not compared.
    """
    found = []
    plain = {run.block: run for run in runs if run.contender == PLAIN}
    for run in runs:
        reference = plain.get(run.block)
        promised = run.contender not in (BASELINE, MLX_LM_SPECULATION, *RULES)
        if reference is None or not promised or run.token_ids == reference.token_ids:
            continue
        pairs = enumerate(zip(run.token_ids, reference.token_ids, strict=False))
        at = next((i for i, (ours, theirs) in pairs if ours != theirs), min(run.tokens, reference.tokens))
        found.append(
            f"{run.contender} differs from plain at token {at + 1} (temperature {run.temperature:g}, {run.kind} prompt "
            f"{run.prompt + 1}, repeat {run.repeat + 1}): a near-tie of float32 or a fault, see tests/equality.py."
        )
    return found


def _of(runs: Sequence[Run], contender: str, temperature: float) -> list[Run]:
    return [run for run in runs if run.contender == contender and run.temperature == temperature]


def _temperatures(runs: Iterable[Run]) -> list[float]:
    return list(dict.fromkeys(run.temperature for run in runs))


def _fixed_length(run: Run) -> int | None:
    return _NO_DRAFT_LENGTH if run.contender == PLAIN else length_of(run.contender)


def _lengths(runs: Iterable[Run]) -> list[int]:
    found = {length for run in runs if (length := _fixed_length(run)) is not None}
    return sorted(found)


def _tokens_per_round(group: Sequence[Run]) -> float:
    return sum(run.tokens for run in group) / max(1, sum(run.rounds for run in group))


def _acceptance(group: Sequence[Run]) -> float | None:
    tested = sum(run.tested for run in group)
    return sum(run.accepted for run in group) / tested if tested else None
