"""What a round costs and what it yields, learnt from the rounds themselves.

Times: a verify pass by its width (tokens scored at once) and a draft by its length. Yield: how often a drafted token is
accepted, by drafter and by its place in the chain. Values and floats only: knows no model and no clock, so that the
controller built on it can be tested with made-up costs.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from mlx_spec.tree import Shape

_SLOW_ROUNDS: Final = 64.0
_FAST_ROUNDS: Final = 8.0
# How far the last rounds must stray from the long mean, in standard errors, before the long mean is given up.
_CHANGED_ERRORS: Final = 2.5
_PRIOR_WEIGHT: Final = 5.0
# Of a text with fewer rounds it is not told how drafts fare in it.
_TELLING_ROUNDS: Final = 4.0
_FIRST_GUESS: Final = 0.5
_FIRST_SIBLING: Final = 0.3
_PRIOR_ROUNDS: Final = 32.0
_KEPT_SHARE: Final = 0.995
# Kalman filter of the verify times, in units of the calibrated curve: noise of one observation, and how much the common
# scale and the extra slope may wander from one round to the next.
_OBSERVATION_NOISE: Final = 0.08
_SCALE_VARIANCE: Final = 0.01
_TILT_VARIANCE: Final = 0.0004
_NEW_TEXT_VARIANCE: Final = 0.05
# A machine that got busy is a new scale. A new slope is rarer, and one that is none would park a draft that pays.
_SURPRISED_SCALE_VARIANCE: Final = 0.25
_SURPRISED_TILT_VARIANCE: Final = 0.02
_SCALE_WANDER: Final = 0.02
_SLOPE_WANDER: Final = 0.006
_CLIP: Final = 0.6
# Until a second width is seen, every further token is taken to cost a twentieth of a pass.
_FIRST_SLOPE: Final = 0.05
_FEW_BEHIND: Final = 4
_SURPRISE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Calibration:
    """Measured times of one pair on one machine, in milliseconds.

    `verify_ms[w - 1]` is a round of the target over w tokens, `draft_step_ms` one draft pass over one token,
    `draft_token_ms` what each further token in the same draft pass adds.
    """

    verify_ms: tuple[float, ...]
    draft_step_ms: float = 0.0
    draft_token_ms: float = 0.0

    @property
    def plain_step_ms(self) -> float:
        """A plain decoding step."""
        return self.verify_ms[0]


class VerifyTimes:
    """Time of a verify pass by width: the calibrated curve, scaled and tilted to what the rounds show.

    V(w) = s·c(w) + t·c(1)·(w - 1), with s and t from a Kalman filter (a machine that slows down moves s, a context that
    makes each row dearer moves t), and a slow correction for each width.
    """

    def __init__(self, calibration: Calibration | None) -> None:
        self._curve = list(calibration.verify_ms) if calibration else []
        self._widths = set(range(1, len(self._curve) + 1))
        self._scale, self._tilt, self._least_scale = 1.0, 0.0, math.inf
        # Variances of scale and tilt, and their covariance.
        self._scale_var, self._tilt_var, self._cross = _SCALE_VARIANCE, _TILT_VARIANCE, 0.0
        self._own: dict[int, float] = {}
        self.surprises = 0
        """Passes in a row that took much more or less than expected."""

    @property
    def known_widths(self) -> int:
        """How many widths have been measured."""
        return len(self._widths)

    def begin(self) -> None:
        """Another text: what the context of the last one added is no part of it, and the machine takes what it took at
        the end of the text where it took least. What is dearer is learnt again in a round or two.

        While parked no wide pass is seen: a long text's costs, kept, would keep a short one parked for good.
        """
        if len(self._curve) > 1:  # else the tilt is all that is known of wide passes
            self._tilt = 0.0
        self._least_scale = self._scale = min(self._least_scale, self._scale)
        self._own.clear()
        self._scale_var, self._tilt_var, self._cross = _NEW_TEXT_VARIANCE, _TILT_VARIANCE, 0.0

    def at(self, width: int) -> float:
        """Expected milliseconds of a pass over `width` tokens; 1 while nothing is known."""
        if not self._curve:
            return 1.0
        return max(1e-6, self._model(width) * (1.0 + self._own.get(width, 0.0)))

    def observe(self, width: int, milliseconds: float) -> None:
        """Learn from one pass."""
        self._widths.add(width)
        if not self._curve:
            self._curve = [milliseconds / (1.0 + _FIRST_SLOPE * (width - 1))]
            return
        if len(self._curve) == 1 and width > 1 and self._tilt == 0.0:
            # The first look at a second width is the slope: there is nothing to weigh it against.
            self._tilt = (milliseconds - self._model(width)) / (self._curve[0] * (width - 1))
            return
        expected = self.at(width)
        unit = self._curve[0]
        # One stall of the machine must not be taken for a new cost, a real change comes again next round.
        error = max(-_CLIP, min(_CLIP, (milliseconds - expected) / expected)) * expected / unit
        self.surprises = self.surprises + 1 if abs(milliseconds - expected) > _SURPRISE * expected else 0
        if self.surprises >= 2:  # a new regime: what was learnt about the old one must not hold back
            self._scale_var = max(self._scale_var, _SURPRISED_SCALE_VARIANCE)
            self._tilt_var = max(self._tilt_var, _SURPRISED_TILT_VARIANCE)
            self._own.clear()
        along, across = self._base(width) / unit, float(width - 1)
        self._scale_var += _SCALE_WANDER**2
        self._tilt_var += _SLOPE_WANDER**2
        scale_gain = self._scale_var * along + self._cross * across
        tilt_gain = self._cross * along + self._tilt_var * across
        spread = along * scale_gain + across * tilt_gain + (_OBSERVATION_NOISE * expected / unit) ** 2
        self._scale += scale_gain / spread * error
        self._tilt += tilt_gain / spread * error
        self._scale_var -= scale_gain**2 / spread
        self._tilt_var -= tilt_gain**2 / spread
        self._cross -= scale_gain * tilt_gain / spread
        left_over = (milliseconds - self.at(width)) / self._model(width)
        self._own[width] = self._own.get(width, 0.0) + 0.1 * max(-_CLIP, min(_CLIP, left_over))

    def _base(self, width: int) -> float:
        """The calibrated curve, drawn on in a straight line beyond its end."""
        if width <= len(self._curve):
            return self._curve[width - 1]
        if len(self._curve) == 1:
            return self._curve[0] * (1.0 + _FIRST_SLOPE * (width - 1))
        slope = (self._curve[-1] - self._curve[0]) / (len(self._curve) - 1)
        return self._curve[-1] + slope * (width - len(self._curve))

    def _model(self, width: int) -> float:
        least = 0.05 * self._curve[0]
        return max(least, self._scale * self._base(width) + self._tilt * self._curve[0] * (width - 1))


class DraftTimes:
    """Time of drafting: a step a pass, and a little for every token the drafter must catch up on."""

    def __init__(self, step_ms: float, token_ms: float = 0.0) -> None:
        self._step_ms, self._token_ms = step_ms, token_ms
        self._seen = step_ms > 0
        self._least_ms = math.inf

    def begin(self) -> None:
        """Another text: a step takes what it took at the end of the text where it took least. What a long context adds
        is learnt again where there is one."""
        if self._seen:
            self._least_ms = self._step_ms = min(self._least_ms, self._step_ms)

    def at(self, steps: float, behind: int = 0) -> float:
        """Expected milliseconds of `steps` draft passes with `behind` tokens to read first."""
        return self._step_ms * steps + self._token_ms * behind

    def observe(self, steps: int, behind: int, milliseconds: float) -> None:
        """Learn from one proposal that took `steps` >= 1 passes."""
        if behind > _FEW_BEHIND and not self._token_ms:
            return  # a text to catch up on, at a price that nobody measured: it says nothing about a step
        step = max(0.0, milliseconds - self._token_ms * behind) / steps
        if self._seen:
            step = min(step, 3.0 * self._step_ms)
        self._step_ms += (0.15 if self._seen else 1.0) * (step - self._step_ms)
        self._seen = True


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
    """What came over what was promised, of the last few hundred rounds; 1 while little is known."""

    came: float = _PRIOR_ROUNDS
    promised: float = _PRIOR_ROUNDS

    @property
    def value(self) -> float:
        """The ratio."""
        return self.came / self.promised

    def observe(self, came: float, promised: float) -> None:
        """Add one round."""
        self.came = _KEPT_SHARE * self.came + came
        self.promised = _KEPT_SHARE * self.promised + promised


@dataclass(slots=True)
class Acceptance:
    """How a drafter's chains fare: for each place, how often it drafts on that far and how often that is accepted."""

    accepted: list[Rate] = field(default_factory=list)
    drafted: list[Rate] = field(default_factory=list)
    siblings: list[Rate] = field(default_factory=list)
    """For the second guess of a place, the third, and so on: how often it is right where those before it are wrong."""
    usual: Rate = field(default_factory=Rate)
    """How often a first guess is accepted, a text one trial: what a new text is taken to be like."""

    def begin(self) -> None:
        """Another text: of the last one a hint is kept, and its part in what is usual."""
        if self.accepted and self.accepted[0].weight > _TELLING_ROUNDS:
            self.usual.add(self.accepted[0].mean)
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
        accepted. A place that is little known is taken to be like the one before it."""
        chances = []
        accepted, drafted = _shrunk(self.usual, _FIRST_GUESS), 1.0
        for place in range(length):
            if place < len(self.accepted):
                accepted = _shrunk(self.accepted[place], accepted)
                drafted = _shrunk(self.drafted[place], drafted)
            chances.append((drafted, accepted))
        return chances


def _shrunk(rate: Rate, prior: float) -> float:
    return (rate.weight * rate.mean + _PRIOR_WEIGHT * prior) / (rate.weight + _PRIOR_WEIGHT)


def expected_round(verify: VerifyTimes, draft_ms: float, rates: list[tuple[float, float]]) -> tuple[float, float]:
    """Expected tokens and milliseconds of a round that asks for a draft of `len(rates)` tokens.

    Tokens: 1 + Σ_i Π_{j<=i} d_j a_j, with d_j the chance that place j is drafted and a_j that it is accepted; the
    verify pass is as wide as what was drafted.
    """
    tokens, reached, standing, milliseconds = 1.0, 1.0, 1.0, draft_ms
    for place, (drafted, accepted) in enumerate(rates):
        milliseconds += reached * (1.0 - drafted) * verify.at(place + 1)
        reached *= drafted
        standing *= drafted * accepted
        tokens += standing
    return tokens, milliseconds + reached * verify.at(len(rates) + 1)


def expected_tree(acceptance: Acceptance, shape: Shape) -> float:
    """Expected tokens of a round with a tree: 1 + Σ over its nodes of the chance that its path is right.

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
