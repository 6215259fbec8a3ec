"""The host's share, seen alone: a pair so narrow that computing costs close to nothing, so that a round takes about as
long as Python and the framework around it. Ours and mlx-lm's speculation, in turns, at the same length."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mlx_spec.bench.contenders import Contender, make_contender
from mlx_spec.bench.passes import time_passes
from mlx_spec.bench.plan import FIXED, MLX_LM_SPECULATION, BenchPlan
from mlx_spec.bench.synthetic import narrow_pair

_PROMPT_IDS: Final = tuple(range(100, 132))
_SEED: Final = 7


@dataclass(frozen=True, slots=True)
class HostRun:
    """One answer of one contender: its rounds, the time of all of them, what of it the host was busy (see `Run`), and
    what their forward passes took by themselves, in milliseconds."""

    contender: str
    temperature: float
    repeat: int
    rounds: int
    total_ms: float
    host_ms: float
    passes_ms: float

    @property
    def round_ms(self) -> float:
        """A round's time."""
        return self.total_ms / self.rounds


@dataclass(frozen=True, slots=True)
class HostRow:
    """One temperature: milliseconds a round (medians), of which `*_host_ms` the host was busy, beside `*_passes_ms`,
    the models' passes by themselves; and the host's in ours as a share of mlx-lm's (median, least and greatest of the
    pairs), and of the whole rounds."""

    temperature: float
    ours_ms: float
    mlx_lm_ms: float
    ours_host_ms: float
    mlx_lm_host_ms: float
    ours_passes_ms: float
    mlx_lm_passes_ms: float
    ratio: float
    ratio_least: float
    ratio_greatest: float
    round_ratio: float


def measure_host(
    plan: BenchPlan, *, repeats: int = 5, tell: Callable[[str, float], None] = lambda stage, fraction: None
) -> list[HostRun]:
    """Time rounds of a 24-layer target and a 4-layer draft, both 64 wide and random, at the plan's length and
    temperatures."""
    pair = narrow_pair()
    ways: dict[str, Contender] = {name: make_contender(name, pair, plan) for name in (FIXED, MLX_LM_SPECULATION)}
    runs = []
    settings = [(repeat, temperature) for repeat in range(-1, repeats) for temperature in plan.temperatures]
    for at, (repeat, temperature) in enumerate(settings):
        names = list(ways)[:: 1 if repeat % 2 else -1]
        answers = {name: ways[name].answer(_PROMPT_IDS, temperature, _SEED, plan.answer_tokens) for name in names}
        block = (temperature, "host", 0, repeat)
        widths = {drafted + 1 for answer in answers.values() for drafted, _ in answer.rounds_by_draft}
        alone = time_passes(pair, block, _PROMPT_IDS, widths, plan.answer_tokens)
        verify_ms = dict(alone.verify_ms)
        for name, answer in answers.items():
            passes_ms = (answer.draft_passes or 0) * (alone.draft_ms or 0.0)
            passes_ms += sum(rounds * verify_ms[drafted + 1] for drafted, rounds in answer.rounds_by_draft)
            rounds = sum(count for _, count in answer.rounds_by_draft)
            if repeat >= 0:  # the first turn warms up
                runs.append(
                    HostRun(
                        name, temperature, repeat, rounds, 1e3 * answer.seconds, 1e3 * answer.host_seconds, passes_ms
                    )
                )
        tell("measuring the host", (at + 1) / len(settings))
    return runs


def host_summary(runs: Iterable[HostRun]) -> list[HostRow]:
    """A row for each temperature."""
    by_temperature: dict[float, dict[str, list[HostRun]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        by_temperature[run.temperature][run.contender].append(run)
    return [_host_row(temperature, both) for temperature, both in by_temperature.items()]


def _host_row(temperature: float, both: dict[str, list[HostRun]]) -> HostRow:
    ours, theirs = both[FIXED], both[MLX_LM_SPECULATION]
    others = {run.repeat: run for run in theirs}
    ratios = [
        run.host_ms / run.rounds / (other.host_ms / other.rounds) for run in ours if (other := others[run.repeat])
    ]
    return HostRow(
        temperature,
        statistics.median(run.round_ms for run in ours),
        statistics.median(run.round_ms for run in theirs),
        statistics.median(run.host_ms / run.rounds for run in ours),
        statistics.median(run.host_ms / run.rounds for run in theirs),
        _passes_a_round(ours),
        _passes_a_round(theirs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        statistics.median(run.round_ms / others[run.repeat].round_ms for run in ours),
    )


def _passes_a_round(runs: Sequence[HostRun]) -> float:
    return statistics.median(run.passes_ms / run.rounds for run in runs)
