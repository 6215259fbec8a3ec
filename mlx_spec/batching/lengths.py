"""How far to draft for all answers of a step together: as many tokens a millisecond as the measured costs allow.

Every place k of an answer's draft has a chance to survive: that it is drafted and accepted, and all places before it.
A step over B answers that drafts n_i tokens for answer i

- brings B + Σ_i Σ_{k <= n_i} c_ik tokens, in expectation: each round writes one token besides what it accepts;
- takes T(B + Σ_i n_i) for the target's pass, by rows, in steps as the machine has them, and for each drafter that is
  used at all once + level · (the deepest of its drafts) + row · (tokens it drafts): a level is one pass for all answers
  that go so deep.

**Why the greedy choice is exact.** Of all choices with the same number of drafted tokens N and the same greatest depth
of each drafter all take the same time but for the row costs, so the best takes the N likeliest places that are not
deeper: chances fall with the place, so these are the beginnings of drafts. Row costs differ by drafter. They, and
tokens over time as the aim, are dealt with by Dinkelbach's method (1967): for a rate r the best of tokens - r · time is
found exactly, each place being worth c - r · row, and r is raised to what that choice brings until nothing brings more.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

# A gain of less is what sums of floats differ by.
_NO_GAIN: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Prospect:
    """What drafting for one answer promises: `chances[k - 1]` that place k survives, for as many places as may be
    drafted at all. They never rise."""

    drafter: str
    chances: Sequence[float]


@dataclass(frozen=True, slots=True)
class DraftCost:
    """What a drafter takes in a step, in milliseconds: `once_ms` if it is used at all, `level_ms` for each level of its
    deepest draft, `row_ms` for each token it drafts."""

    level_ms: float = 0.0
    row_ms: float = 0.0
    once_ms: float = 0.0

    def at(self, depth: int, rows: int) -> float:
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


def choose_lengths(
    prospects: Sequence[Prospect],
    target_ms: Callable[[int], float],
    draft_costs: Mapping[str, DraftCost],
    most_drafted: int,
) -> Lengths:
    """The lengths that bring most tokens a millisecond; zero for all where no drafts bring more than none.

    `target_ms` is what a pass of the target over so many rows takes (`VerifyTimes.at`), `draft_costs` what each drafter
    takes, nothing where it is not named; at most `most_drafted` tokens are drafted in all. Of a `StepPlan` these are
    its `draft_rows`, and an answer has as many chances as its `Writing` has `room`. Raises ValueError where chances
    rise, or are none.
    """
    _check(prospects)
    if not prospects:
        return Lengths((), 0.0, 0.0, 0.0)
    choice = _Choice(prospects, target_ms, draft_costs, most_drafted)
    best = choice.outcome((0,) * len(prospects))
    while True:
        better = choice.outcome(choice.best_at(best.rate))
        if better.rate <= best.rate * (1.0 + _NO_GAIN):
            return best
        best = better


class _Choice:
    """All that can be chosen in one step."""

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
        depths, rows = dict.fromkeys(self._costs, 0), dict.fromkeys(self._costs, 0)
        tokens = float(len(lengths))
        for prospect, length in zip(self._prospects, lengths, strict=True):
            depths[prospect.drafter] = max(depths[prospect.drafter], length)
            rows[prospect.drafter] += length
            tokens += sum(prospect.chances[:length])
        drafting = sum(cost.at(depths[name], rows[name]) for name, cost in self._costs.items())
        milliseconds = self._target_ms[sum(lengths)] + drafting
        return Lengths(lengths, tokens, milliseconds, len(lengths) / self._target_ms[0])

    def best_at(self, rate: float) -> tuple[int, ...]:
        """The choice with the most of tokens - rate · time."""
        names = list(self._costs)
        places = sorted(
            (rate * self._costs[prospect.drafter].row_ms - chance, place, answer, names.index(prospect.drafter))
            for answer, prospect in enumerate(self._prospects)
            for place, chance in enumerate(prospect.chances, 1)
        )
        passes = [rate * milliseconds for milliseconds in self._target_ms]
        most, chosen = -passes[0], [0] * len(self._prospects)
        for depths in self._depths():
            shallow = [(loss, answer) for loss, place, answer, drafter in places if place <= depths[drafter]]
            worth = -rate * sum(cost.at(depth, 0) for cost, depth in zip(self._costs.values(), depths, strict=True))
            best_count = 0
            for count, ((loss, _), target) in enumerate(zip(shallow, passes[1:], strict=False), 1):
                worth -= loss
                if worth - target > most:
                    most, best_count = worth - target, count
            if best_count:
                chosen = [0] * len(self._prospects)
                for _, answer in shallow[:best_count]:
                    chosen[answer] += 1
        return tuple(chosen)

    def _depths(self) -> Iterator[tuple[int, ...]]:
        """Every combination of the drafters' greatest depths. One whose levels cost nothing may go as deep as any."""
        ranges = []
        for name, cost in self._costs.items():
            deepest = self._deepest[name]
            ranges.append(range(deepest + 1) if cost.level_ms or cost.once_ms else (deepest,))
        return product(*ranges)


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
