"""From times that were seen to figures: pure functions. Seconds everywhere; None where there is nothing to tell."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mlx_spec.batching.metrics import percentile
from mlx_spec.bench.paired.serving.answers import Arrival, Served, ServedAnswer
from mlx_spec.bench.paired.serving.plan import SIDES
from mlx_spec.bench.summary import Spread, spread


@dataclass(frozen=True, slots=True)
class Times:
    """The median of `count` times, and the one that a twentieth of them exceeds."""

    median: float
    p95: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Times | None":
        """Of those that are there."""
        ordered = sorted(value for value in values if value is not None)
        median, p95 = percentile(ordered, 0.5), percentile(ordered, 0.95)
        return None if median is None or p95 is None else cls(median, p95, len(ordered))


@dataclass(frozen=True, slots=True)
class Words:
    """Of `compared` answers those with the words that they have alone."""

    same: int
    compared: int


@dataclass(frozen=True, slots=True)
class Figures:
    """One side at one number at once, over all its turns. `rate` is tokens/s in all; `token` the time a token of each
    answer behind its first text, `gap` that between two texts, which may hold several tokens; `failed` counts answers.
    `others` and `stolen` are means."""

    side: str
    at_once: int
    rate: Spread
    first_text: Times | None
    token: Times | None
    gap: Times | None
    answers: int
    tokens: int
    failed: int
    words: Words | None
    others: float | None
    stolen: float | None


@dataclass(frozen=True, slots=True)
class Ratios:
    """One side over another, turn by turn: of `rate` more is better, of times less."""

    side: str
    reference: str
    at_once: int
    rate: Spread | None
    first_text: Spread | None
    token: Spread | None


@dataclass(frozen=True, slots=True)
class ArrivalFigures:
    """What a long prompt did to those who wrote when it came: `writing` of them. `usual` is the median gap between
    their texts before, `longest` the longest until the prompt's own first text, `multiple` how often that holds the
    usual one. All as `Spread` over the turns."""

    side: str
    writing: Spread
    usual: Spread | None
    longest: Spread | None
    multiple: Spread | None
    first_text: Spread | None
    prompt_tokens: int | None
    words: Words | None


def rate_of(served: Served) -> float | None:
    """Tokens/s in all: those of all answers over the time from the first question of each wave to its last text."""
    seconds = sum(seconds_of(wave) for wave in served.waves)
    return sum(answer.tokens for answer in served.answers) / seconds if seconds > 0 else None


def seconds_of(wave: Sequence[ServedAnswer]) -> float:
    """From the first question to the last text."""
    ends = [answer.text_s[-1] for answer in wave if answer.text_s]
    return max(ends) - min(answer.asked_s for answer in wave) if ends else 0.0


def first_texts(answers: Iterable[ServedAnswer]) -> Times | None:
    """The waits for first texts."""
    return Times.of(answer.first_text_s for answer in answers)


def tokens_times(answers: Iterable[ServedAnswer]) -> Times | None:
    """The times a token."""
    return Times.of(answer.token_s for answer in answers)


def gap_times(answers: Iterable[ServedAnswer]) -> Times | None:
    """The times between texts, those of all answers together."""
    return Times.of(end - begin for answer in answers for begin, end in answer.gaps)


def words_of(answers: Iterable[ServedAnswer]) -> Words | None:
    """How many said what they say alone; None where nobody compared."""
    told = [answer.same_alone for answer in answers if answer.same_alone is not None]
    return Words(sum(told), len(told)) if told else None


def figures_of(runs: Sequence[Served]) -> list[Figures]:
    """A row for each number at once and side; none where nothing came."""
    return [_figures(group) for group in _groups(runs).values() if any(rate_of(one) for one in group)]


def _groups(runs: Sequence[Served]) -> dict[tuple[int, str], list[Served]]:
    groups: dict[tuple[int, str], list[Served]] = {}
    for one in sorted(runs, key=lambda one: (one.at_once, SIDES.index(one.side), one.turn)):
        groups.setdefault((one.at_once, one.side), []).append(one)
    return groups


def _figures(group: Sequence[Served]) -> Figures:
    answers = [answer for one in group for answer in one.answers]
    return Figures(
        group[0].side,
        group[0].at_once,
        rate=spread([rate for one in group if (rate := rate_of(one))]),
        first_text=first_texts(answers),
        token=tokens_times(answers),
        gap=gap_times(answers),
        answers=len(answers),
        tokens=sum(answer.tokens for answer in answers),
        failed=sum(answer.error is not None for answer in answers),
        words=words_of(answers),
        others=mean_of([one.others for one in group]),
        stolen=mean_of([one.stolen for one in group]),
    )


def ratios_of(runs: Sequence[Served], side: str, reference: str) -> list[Ratios]:
    """At each number at once where both were asked: the ratios of the same turns."""
    groups = _groups(runs)
    found = []
    for at_once in dict.fromkeys(at_once for at_once, _ in groups):
        ours, theirs = groups.get((at_once, side)), groups.get((at_once, reference))
        if ours and theirs:
            found.append(
                Ratios(
                    side,
                    reference,
                    at_once,
                    _turn_by_turn(ours, theirs, rate_of),
                    _turn_by_turn(ours, theirs, lambda one: _median(first_texts(one.answers))),
                    _turn_by_turn(ours, theirs, lambda one: _median(tokens_times(one.answers))),
                )
            )
    return found


def _turn_by_turn(
    ours: Sequence[Served], theirs: Sequence[Served], of: Callable[[Served], float | None]
) -> Spread | None:
    references = {one.turn: value for one in theirs if (value := of(one))}
    values = [value / references[one.turn] for one in ours if one.turn in references and (value := of(one))]
    return spread(values) if values else None


def usual_gap(arrival: Arrival) -> float | None:
    """The median of the writers' gaps that were over when the late question was asked."""
    gaps = [end - begin for one in arrival.writers for begin, end in one.gaps if end <= arrival.late.asked_s]
    return statistics.median(gaps) if gaps else None


def longest_gap(arrival: Arrival) -> float | None:
    """The longest of the writers' gaps that were open between the late question and its first text, or its end where it
    has none."""
    until = arrival.late.text_s[0] if arrival.late.text_s else arrival.late.end_s
    open_then = [
        end - begin
        for one in arrival.writers
        for begin, end in one.gaps
        if end > arrival.late.asked_s and begin < until
    ]
    return max(open_then, default=None)


def gap_multiple(arrival: Arrival) -> float | None:
    """The longest gap over the usual one."""
    usual, longest = usual_gap(arrival), longest_gap(arrival)
    return longest / usual if usual and longest is not None else None


def writing_at(arrival: Arrival) -> int:
    """How many had begun and went on when the late question came."""
    asked = arrival.late.asked_s
    return sum(bool(one.text_s) and one.text_s[0] <= asked < one.text_s[-1] for one in arrival.writers)


def arrival_figures(arrivals: Sequence[Arrival]) -> list[ArrivalFigures]:
    """A row for each side."""
    by_side: dict[str, list[Arrival]] = {}
    for one in sorted(arrivals, key=lambda one: SIDES.index(one.side)):
        by_side.setdefault(one.side, []).append(one)
    return [
        ArrivalFigures(
            side,
            writing=spread([float(writing_at(one)) for one in group]),
            usual=_spread_of(group, usual_gap),
            longest=_spread_of(group, longest_gap),
            multiple=_spread_of(group, gap_multiple),
            first_text=_spread_of(group, lambda one: one.late.first_text_s),
            prompt_tokens=next((one.prompt_tokens for one in group if one.prompt_tokens is not None), None),
            words=words_of(answer for one in group for answer in one.answers),
        )
        for side, group in by_side.items()
    ]


def multiple_ratio(arrivals: Sequence[Arrival], side: str, reference: str) -> Spread | None:
    """The multiples of one side over those of another, turn by turn: less is better."""
    found = {(one.side, one.turn): multiple for one in arrivals if (multiple := gap_multiple(one))}
    values = [
        multiple / found[reference, turn]
        for (at, turn), multiple in found.items()
        if at == side and (reference, turn) in found
    ]
    return spread(values) if values else None


def _spread_of(group: Sequence[Arrival], of: Callable[[Arrival], float | None]) -> Spread | None:
    values = [value for one in group if (value := of(one)) is not None]
    return spread(values) if values else None


def _median(times: Times | None) -> float | None:
    return times.median if times is not None else None


def mean_of(values: Sequence[float | None]) -> float | None:
    """Of those that are there; None of none."""
    told = [value for value in values if value is not None]
    return statistics.fmean(told) if told else None
