"""What a round yields, learnt from the rounds themselves: how often a drafted token is accepted, by drafter and by its
place in the chain. Values only; knows no model.
"""

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from mlx_spec.acceptance.tree import Shape

_SLOW_ROUNDS: Final = 64.0
_FAST_ROUNDS: Final = 8.0
# How far the last rounds must stray from the long mean, in standard errors, before the long mean is given up.
_CHANGED_ERRORS: Final = 2.5
_PRIOR_WEIGHT: Final = 4.0
# Of a text with fewer rounds it is not told how drafts fare in it.
_TELLING_ROUNDS: Final = 4.0
_FIRST_GUESS: Final = 0.5
_FIRST_GUESS_WEIGHT: Final = 5.0  # in texts
_FIRST_SIBLING: Final = 0.3
_SUREST: Final = 0.99
# Before a drafter is judged by the others it is tried this often in a text: it may be the one that fares better.
_OWN_ROUNDS: Final = 2
_OTHERS_PRIOR: Final = 4.0
_OTHERS_KEPT_SHARE: Final = 0.9
_PRIOR_ROUNDS: Final = 32.0
_KEPT_SHARE: Final = 0.995


@dataclass(slots=True)
class Rate:
    """The share of successes: a long mean that is given up for the last few when they say something else."""

    weight: float = 0.0
    mean: float = 0.0
    _fast_weight: float = 0.0
    _fast: float = 0.0

    def add(self, share: float) -> None:
        """Count one trial of many parts, of which `share` were successes."""
        self.weight = min(self.weight + 1.0, _SLOW_ROUNDS)
        self.mean += (share - self.mean) / self.weight

    def observe(self, success: bool) -> bool:
        """Count one trial; True where it made the past worthless."""
        self.add(success)
        self._fast_weight = min(self._fast_weight + 1.0, _FAST_ROUNDS)
        self._fast += (success - self._fast) / self._fast_weight
        # An exponential mean over n rounds varies as one over 2n - 1 trials.
        error = (max(self.mean * (1.0 - self.mean), 0.02) / (2.0 * _FAST_ROUNDS - 1.0)) ** 0.5
        changed = self.weight > 2 * _FAST_ROUNDS and abs(self._fast - self.mean) > _CHANGED_ERRORS * error
        if changed:
            self.weight, self.mean = self._fast_weight, self._fast
        return changed

    def doubt(self) -> None:
        """Keep the mean as no more than a hint."""
        self.weight = min(self.weight, 1.0)


@dataclass(slots=True)
class Ratio:
    """What was observed over what was expected, of the last rounds, a few hundred unless told; 1 while little is
    known."""

    observed: float = _PRIOR_ROUNDS
    expected: float = _PRIOR_ROUNDS
    kept_share: float = _KEPT_SHARE

    @property
    def value(self) -> float:
        """The ratio."""
        return self.observed / self.expected

    def observe(self, observed: float, expected: float) -> None:
        """Add one round."""
        self.observed = self.kept_share * self.observed + observed
        self.expected = self.kept_share * self.expected + expected


@dataclass(slots=True)
class Acceptance:
    """How a drafter's chains fare: for each place, how often it drafts on that far and how often that is accepted.

    The text at hand is weighed against a prior, what earlier texts have shown: the less is seen of a place, the more
    the prior counts (shrinkage, as in empirical Bayes).
    """

    accepted: list[Rate] = field(default_factory=list)
    drafted: list[Rate] = field(default_factory=list)
    siblings: list[Rate] = field(default_factory=list)
    """For the second guess of a place, the third, and so on: how often it is right where those before it are wrong."""
    discount: float = 1.0
    """What to multiply the prior by in this text; see `PriorDiscount`."""
    prior_accepted: list[Rate] = field(default_factory=list)
    """For each place, how often it is accepted, a text one trial: what a new text is taken to be like."""
    prior_drafted: list[Rate] = field(default_factory=list)
    """Likewise, how often it is drafted where the one before it is."""
    first_guess: float = _FIRST_GUESS
    """What a place is taken to be accepted by of which nothing is known."""

    def another(self) -> "Acceptance":
        """How they fare in another text at the same time: it has the same priors, and its part in them."""
        return Acceptance(prior_accepted=self.prior_accepted, prior_drafted=self.prior_drafted)

    def prior(self, place: int) -> float:
        """How often a place, from 0, is expected to be accepted in a text of which nothing is known."""
        chance = self.first_guess
        for rate in self.prior_accepted[: place + 1]:
            chance = _shrunk(rate, chance, _FIRST_GUESS_WEIGHT)
        return chance

    def priors_with_this_text(self) -> tuple[list[Rate], list[Rate]]:
        """The priors of what is accepted and drafted, once this text counts too."""
        accepted_before = [replace(rate) for rate in self.prior_accepted]
        drafted_before = [replace(rate) for rate in self.prior_drafted]
        for place, (accepted, drafted) in enumerate(zip(self.accepted, self.drafted, strict=True)):
            if accepted.weight <= _TELLING_ROUNDS:
                break
            if place == len(accepted_before):
                accepted_before.append(Rate())
                drafted_before.append(Rate())
            accepted_before[place].add(accepted.mean)
            drafted_before[place].add(drafted.mean if drafted.weight else 1.0)
        return accepted_before, drafted_before

    def begin(self) -> None:
        """Another text: of the last one a hint is kept, and its part in the priors, which others may share."""
        self.prior_accepted[:], self.prior_drafted[:] = self.priors_with_this_text()
        for rate in (*self.accepted, *self.drafted, *self.siblings):
            rate.doubt()

    def observe_tree(self, hits: Sequence[tuple[int, int]]) -> None:
        """Learn from a tree: for each tested place, how many guesses there were and which was right (0: none)."""
        for place, (guesses, right) in enumerate(hits):
            while len(self.accepted) <= place:
                self.accepted.append(Rate())
                self.drafted.append(Rate())
            self.accepted[place].observe(right == 1)
            while len(self.siblings) < guesses - 1:
                self.siblings.append(Rate())
            for guess in range(2, guesses + 1):
                if right == 0 or right >= guess:
                    self.siblings[guess - 2].observe(right == guess)

    def guesses(self, place: int, count: int) -> list[float]:
        """The chance that the first guess at a place is right, that the second is, ..., `count` of them."""
        first = self.rates(place + 1)[place][1]
        chances, left, sibling = [first], 1.0 - first, _FIRST_SIBLING
        for rank in range(count - 1):
            if rank < len(self.siblings):
                sibling = _shrunk(self.siblings[rank], sibling)
            chances.append(left * sibling)
            left -= chances[-1]
        return chances

    def observe(self, asked: int, drafted: int, tested: int, accepted: int) -> None:
        """Learn from one round that asked for `asked` tokens and got `drafted`."""
        while len(self.accepted) < asked:
            self.accepted.append(Rate())
            self.drafted.append(Rate())
        for place in range(tested):
            if self.accepted[place].observe(place < accepted):
                # The places behind are seldom reached now: what they were like says little about the new text.
                for behind in self.accepted[place + 1 :]:
                    behind.doubt()
        for place in range(min(asked, drafted + 1)):
            self.drafted[place].observe(place < drafted)

    def rates(self, length: int) -> list[tuple[float, float]]:
        """For each of `length` places: the chance that it is drafted (given the one before was), and that it is then
        accepted. A place that is little known is taken to be as its prior says, or as much worse or better as the one
        before it is."""
        chances = []
        accepted, drafted = self.prior(0) * self.discount, 1.0
        for place in range(length):
            if place:
                accepted = min(_SUREST, accepted * self.prior(place) / self.prior(place - 1))
            if place < len(self.prior_drafted):
                drafted = _shrunk(self.prior_drafted[place], drafted, _FIRST_GUESS_WEIGHT)
            if place < len(self.accepted):
                accepted = _shrunk(self.accepted[place], accepted)
                drafted = _shrunk(self.drafted[place], drafted)
            chances.append((drafted, accepted))
        return chances


class PriorDiscount:
    """How much worse drafts fare in a text than their priors say. A text that is hard to foresee is so for all
    drafters: each should not have to find out by itself."""

    def __init__(self) -> None:
        self._rounds: Counter[str] = Counter()
        self._first_right: dict[str, Ratio] = {}  # by drafter, of its last rounds: those with a right first guess

    def begin(self) -> None:
        """Another text."""
        self._rounds.clear()
        self._first_right.clear()

    def observe(self, drafter: str, right: bool, expected: float) -> None:
        """Learn from a round whether its first guess was right, and which chance the prior gave that."""
        self._rounds[drafter] += 1
        self._first_right.setdefault(drafter, Ratio(0.0, 0.0, _OTHERS_KEPT_SHARE)).observe(right, expected)

    def of(self, drafter: str) -> float:
        """Observed over expected, as the other drafters tell; at most 1, for what one finds easy another need not.
        1 for a drafter that was hardly tried here."""
        if self._rounds[drafter] < _OWN_ROUNDS:
            return 1.0
        others = [ratio for name, ratio in self._first_right.items() if name != drafter]
        observed, expected = sum(ratio.observed for ratio in others), sum(ratio.expected for ratio in others)
        return min(1.0, (_OTHERS_PRIOR + observed) / (_OTHERS_PRIOR + expected))


def _shrunk(rate: Rate, prior: float, prior_weight: float = _PRIOR_WEIGHT) -> float:
    """The rate, drawn towards a prior that counts as so many trials."""
    return (rate.weight * rate.mean + prior_weight * prior) / (rate.weight + prior_weight)


def expected_tree(acceptance: Acceptance, shape: Shape) -> float:
    """Expected tokens of a round with a tree: 1 + Σ over its nodes of the chance that its path is right (the objective
    of Sequoia, Chen et al. 2024, arXiv 2402.12374, with a chance for each depth and each rank among siblings).

    For a tree grown by probability, those of the best nodes as far as the ranks of guesses tell: it knows its own
    probabilities besides, so it does better.
    """
    chances = [acceptance.guesses(place, children) for place, children in enumerate(shape.branching)]
    if shape.nodes is None:
        tokens, standing = 1.0, 1.0
        for level in chances:
            standing *= sum(level)
            tokens += standing
        return tokens
    tokens = 1.0
    candidates = [(-chance, 0) for chance in chances[0]]
    heapq.heapify(candidates)
    for _ in range(shape.nodes):
        if not candidates:
            break
        negative, place = heapq.heappop(candidates)
        tokens -= negative
        if place + 1 < shape.depth:
            for chance in chances[place + 1]:
                heapq.heappush(candidates, (negative * chance, place + 1))
    return tokens
