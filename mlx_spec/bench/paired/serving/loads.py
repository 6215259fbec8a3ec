"""What follows from the times of a load, whose requests came when they liked. Seconds; None where there is nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlx_spec.batching.metrics import percentile
from mlx_spec.bench.paired.serving.answers import Load
from mlx_spec.bench.paired.serving.figures import Words, mean_of, seconds_of, words_of
from mlx_spec.bench.paired.serving.plan import SIDES
from mlx_spec.bench.summary import Spread, spread


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of `count` times the median, and those that a twentieth and a hundredth of them exceed."""

    p50: float
    p95: float
    p99: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Percentiles | None":
        """Of those that are there."""
        ordered = sorted(value for value in values if value is not None)
        found = [percentile(ordered, share) for share in (0.5, 0.95, 0.99)]
        p50, p95, p99 = found
        return None if p50 is None or p95 is None or p99 is None else cls(p50, p95, p99, len(ordered))


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """One side under one load, over all its turns: of `asked` requests some were `refused`, and some `failed`. `done`
    are the tokens a second from the first question of each turn to its last text, `gap` the times between texts."""

    side: str
    rate: float
    asked: int
    refused: int
    failed: int
    done: Spread | None
    first_text: Percentiles | None
    gap: Percentiles | None
    words: Words | None
    others: float | None
    stolen: float | None


def load_figures(loads: Sequence[Load]) -> list[LoadFigures]:
    """A row for each rate and side."""
    groups: dict[tuple[float, str], list[Load]] = {}
    for one in sorted(loads, key=lambda one: (one.rate, SIDES.index(one.side), one.turn)):
        groups.setdefault((one.rate, one.side), []).append(one)
    found = []
    for (rate, side), group in groups.items():
        answers = [answer for one in group for answer in one.answers]
        refused = sum(answer.refused for answer in answers)
        done = [tokens / seconds for one in group if (seconds := seconds_of(one.answers)) and (tokens := _tokens(one))]
        figures = LoadFigures(
            side,
            rate,
            asked=len(answers),
            refused=refused,
            failed=sum(answer.error is not None for answer in answers) - refused,
            done=spread(done) if done else None,
            first_text=Percentiles.of(answer.first_text_s for answer in answers),
            gap=Percentiles.of(end - begin for answer in answers for begin, end in answer.gaps),
            words=words_of(answers),
            others=mean_of([one.others for one in group]),
            stolen=mean_of([one.stolen for one in group]),
        )
        found.append(figures)
    return found


def _tokens(load: Load) -> int:
    return sum(answer.tokens for answer in load.answers)
