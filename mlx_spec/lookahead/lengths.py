"""How far to draft for all answers of a step together: as many tokens a millisecond as the measured costs allow.

Every place k of an answer's draft has a chance to survive: that it is drafted and accepted, and all places before it.
A step over B answers that drafts n_i tokens for answer i

- brings B + Σ_i Σ_{k <= n_i} c_ik tokens, in expectation: each round writes one token besides what it accepts;
- takes T(B + Σ_i Σ_{k <= n_i} d_ik) for the target's pass, by rows, in steps as the machine has them, with d_ik the
  chance that place k is drafted at all: 1, unless drafts end where they grow unsure;
- takes for each drafter that is used at all once + level · (the deepest of its drafts) + row · (tokens it drafts): a
  level is one pass for all answers that go so deep.

**Why the greedy choice is exact.** Of all choices with the same number of drafted tokens N and the same greatest depth
of each drafter all take the same time but for the row costs, so the best takes the N likeliest places that are not
deeper: chances fall with the place, so these are the beginnings of drafts. Row costs differ by drafter. They, and
tokens over time as the aim, are dealt with by Dinkelbach's method (1967): for a rate r the best of tokens - r · time is
found exactly, each place being worth c - r · row, and r is raised to what that choice brings until nothing brings more.
Where drafts may end early the places are taken by what they are worth for each row that they are expected to add, and
T goes in a straight line between two widths: exact but for the last place that is taken.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product, repeat, takewhile
from operator import mul
from typing import Final

# A gain of less is what sums of floats differ by.
_NO_GAIN: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Prospect:
    """What drafting for one answer promises: `chances[k - 1]` that place k survives, for as many places as may be
    drafted at all. They never rise. `drafted[k - 1]` is the chance that place k is drafted, where that may end before;
    nothing where it does not."""

    drafter: str
    chances: Sequence[float]
    drafted: Sequence[float] = ()

    def rows(self, length: int) -> float:
        """Rows that a draft of so many tokens is expected to add to the target's pass."""
        return sum(self.drafted[:length]) if self.drafted else float(length)


@dataclass(frozen=True, slots=True)
class DraftCost:
    """What a drafter takes in a step, in milliseconds: `once_ms` if it is used at all, `level_ms` for each level of its
    deepest draft, `row_ms` for each token it drafts."""

    level_ms: float = 0.0
    row_ms: float = 0.0
    once_ms: float = 0.0

    def at(self, depth: int, rows: float) -> float:
        """Drafts of so many tokens in all, the deepest of them of `depth`."""
        return self.once_ms + self.level_ms * depth + self.row_ms * rows if depth else 0.0


@dataclass(frozen=True, slots=True)
class Lengths:
    """How far to draft for each answer, 0 for not at all, and what the step is expected to bring and to take.

    `plain_rate` are the tokens a millisecond of the step without drafts.
    """

    lengths: tuple[int, ...]
    tokens: float
    milliseconds: float
    plain_rate: float

    @property
    def rows(self) -> int:
        """Rows of the target's pass."""
        return len(self.lengths) + sum(self.lengths)

    @property
    def rate(self) -> float:
        """Expected tokens a millisecond; 0 of a step without answers."""
        return self.tokens / self.milliseconds if self.lengths else 0.0


def survival(rates: Iterable[tuple[float, float]]) -> list[float]:
    """The chance of each place to survive, from the odds of a drafter (`Acceptance.rates`): how often a place is
    drafted where the one before it was, and how often it is accepted then."""
    chances, standing = [], 1.0
    for drafted, accepted in rates:
        standing *= drafted * accepted
        chances.append(standing)
    return chances


def reached(rates: Iterable[tuple[float, float]]) -> list[float]:
    """The chance of each place to be drafted at all, from the same odds."""
    return list(accumulate((drafted for drafted, _ in rates), mul))


def choose_lengths(
    prospects: Sequence[Prospect],
    target_ms: Callable[[int], float],
    draft_costs: Mapping[str, DraftCost],
    most_drafted: int,
) -> Lengths:
    """The lengths that bring most tokens a millisecond; zero for all where no drafts bring more than none.

    `target_ms` is what a pass of the target over so many rows takes (`VerifyTimes.at`), `draft_costs` what each drafter
    takes, nothing where it is not named; at most `most_drafted` tokens are drafted in all. Raises ValueError where
    chances rise, or are none.
    """
    _check(prospects)
    if not prospects:
        return Lengths((), 0.0, 0.0, 0.0)
    choice = Choice(prospects, target_ms, draft_costs, most_drafted)
    best = choice.outcome((0,) * len(prospects))
    while True:
        better = choice.outcome(choice.best_at(best.rate))
        if better.rate <= best.rate * (1.0 + _NO_GAIN):
            return best
        best = better


class Choice:
    """All that can be chosen in one step; see `choose_lengths`."""

    def __init__(
        self,
        prospects: Sequence[Prospect],
        target_ms: Callable[[int], float],
        draft_costs: Mapping[str, DraftCost],
        most_drafted: int,
    ) -> None:
        self._prospects = prospects
        places = min(most_drafted, sum(len(prospect.chances) for prospect in prospects))
        self._target_ms = [target_ms(len(prospects) + count) for count in range(places + 1)]
        self._costs = {prospect.drafter: draft_costs.get(prospect.drafter, DraftCost()) for prospect in prospects}
        self._deepest = dict.fromkeys(self._costs, 0)
        for prospect in prospects:
            self._deepest[prospect.drafter] = max(self._deepest[prospect.drafter], len(prospect.chances))

    def outcome(self, lengths: tuple[int, ...]) -> Lengths:
        """What a choice brings and takes."""
        depths, rows = dict.fromkeys(self._costs, 0), dict.fromkeys(self._costs, 0.0)
        tokens = float(len(lengths))
        for prospect, length in zip(self._prospects, lengths, strict=True):
            depths[prospect.drafter] = max(depths[prospect.drafter], length)
            rows[prospect.drafter] += prospect.rows(length)
            tokens += sum(prospect.chances[:length])
        drafting = sum(cost.at(depths[name], rows[name]) for name, cost in self._costs.items())
        milliseconds = _between(self._target_ms, sum(rows.values())) + drafting
        return Lengths(lengths, tokens, milliseconds, len(lengths) / self._target_ms[0])

    def best_at(self, rate: float) -> tuple[int, ...]:
        """The choice with the most of tokens - rate · time."""
        names = list(self._costs)
        drafters = [names.index(prospect.drafter) for prospect in self._prospects]
        places = sorted(
            (rate * self._costs[prospect.drafter].row_ms - chance / drafted, place, answer, drafters[answer], drafted)
            for answer, prospect in enumerate(self._prospects)
            for place, (chance, drafted) in enumerate(_places(prospect), 1)
        )
        passes = [rate * milliseconds for milliseconds in self._target_ms]
        chosen = [0] * len(self._prospects)
        # What no depth could bring more than, were levels free: most depths need not be looked at.
        bound, _ = _most(places, passes)
        most, none = 0.0, passes[0]
        for depths in self._depths():
            levels = sum(cost.at(depth, 0) for cost, depth in zip(self._costs.values(), depths, strict=True))
            if bound + none - rate * levels <= most:
                continue
            shallow = [one for one in places if one[1] <= depths[one[3]]]
            found, count = _most(shallow, passes)
            if (gain := found + none - rate * levels) > most:
                most = gain
                chosen = [0] * len(self._prospects)
                for place in shallow[:count]:
                    chosen[place[2]] += 1
        return tuple(chosen)

    def _depths(self) -> Iterator[tuple[int, ...]]:
        """Every combination of the drafters' greatest depths. One whose levels cost nothing may go as deep as any."""
        ranges = []
        for name, cost in self._costs.items():
            deepest = self._deepest[name]
            ranges.append(range(deepest + 1) if cost.level_ms or cost.once_ms else (deepest,))
        return product(*ranges)


_Place = tuple[float, int, int, int, float]
"""What a place loses for each row that it adds, its number, whose it is, of which drafter, and the chance that it is
drafted: so many rows it is expected to add."""


def _most(places: Sequence[_Place], passes: Sequence[float]) -> tuple[float, int]:
    """The most that the first so many of these places bring, less what the pass takes; and how many these are."""
    worth, rows, most, best = 0.0, 0.0, -passes[0], 0
    for count, (loss, _, _, _, drafted) in enumerate(places[: len(passes) - 1], 1):
        worth -= loss * drafted
        rows += drafted
        if (gain := worth - _between(passes, rows)) > most:
            most, best = gain, count
    return most, best


def _places(prospect: Prospect) -> Iterator[tuple[float, float]]:
    """Of each place that may be drafted the chances that it survives, and that it is drafted."""
    if not prospect.drafted:
        return zip(prospect.chances, repeat(1.0))
    return takewhile(lambda place: place[1] > 0.0, zip(prospect.chances, prospect.drafted, strict=True))


def _between(times: Sequence[float], rows: float) -> float:
    """What so many rows more take, in a straight line between two widths."""
    below = min(int(rows), len(times) - 1)
    part = rows - below
    return (
        times[below] + part * (times[below + 1] - times[below]) if part > 0 and below + 1 < len(times) else times[below]
    )


def _check(prospects: Sequence[Prospect]) -> None:
    for index, prospect in enumerate(prospects):
        before = 1.0
        for place, chance in enumerate(prospect.chances, 1):
            if not 0.0 <= chance <= before:
                raise ValueError(
                    f"Place {place} of answer {index} has the chance {chance!r} to survive: it must be a number from 0 "
                    "to the chance of the place before it."
                )
            before = chance
