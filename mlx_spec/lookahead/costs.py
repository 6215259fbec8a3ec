"""What a round costs, learnt from the rounds themselves: a verify pass by its width (rows scored at once), a draft by
its length. Values and floats only: knows no model and no clock, so that the controller built on it can be tested with
made-up costs.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

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
# A wider pass must be this much cheaper to be padded to: less is noise.
_WORTH_PADDING: Final = 0.97
DISTURBED: Final = 0.1
"""Where others took more than this share of the machine while it was measured, a calibration is doubted."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Measured times of one pair on one machine, in milliseconds.

    `verify_ms[w - 1]` is a round of the target over w rows, in steps as the machine has them: more rows may take less
    time. `draft_step_ms` is one draft pass over one token, `draft_token_ms` what each further token in the same draft
    pass adds. `disturbance` is the share of the machine that other programs took meanwhile, from 0 to 1. Of the widths
    only those `measured` are certain, all where nothing is said: others are padded to the next of them.
    """

    verify_ms: tuple[float, ...]
    draft_step_ms: float = 0.0
    draft_token_ms: float = 0.0
    disturbance: float = 0.0
    measured: tuple[int, ...] = ()

    @property
    def plain_step_ms(self) -> float:
        """A plain decoding step."""
        return self.verify_ms[0]

    def cheapest_ms(self, rows: int) -> float:
        """The least that any pass over at least so many rows takes: a pass may be padded."""
        return min(self.verify_ms[rows - 1 :])

    @property
    def doubtful(self) -> bool:
        """Whether too much else ran while it was measured: its ratios are a first guess, and the rounds tell."""
        return self.disturbance > DISTURBED

    def within(self, widest: int | None) -> "Calibration":
        """What is known of passes of at most so many rows; of all of them where that is None."""
        if widest is None:
            return self
        measured = tuple(width for width in self.measured if width <= widest)
        return replace(self, verify_ms=self.verify_ms[:widest], measured=measured)

    def scaled(self, factor: float) -> "Calibration":
        """The same ratios on a machine whose passes take `factor` times as long."""
        return replace(
            self,
            verify_ms=tuple(factor * value for value in self.verify_ms),
            draft_step_ms=factor * self.draft_step_ms,
            draft_token_ms=factor * self.draft_token_ms,
        )


class VerifyTimes:
    """Time of a verify pass by width: the calibrated curve, scaled and tilted to what the rounds show.

    V(w) = s·c(w) + t·c(1)·(w - 1), with s and t from a Kalman filter (a machine that slows down moves s, a context that
    makes each row dearer moves t), and a slow correction for each width. The curve has steps: 16 rows may take less
    time than 12. So n rows cost what the cheapest pass of at least n rows costs, and `rows` says how many that has.
    """

    def __init__(self, calibration: Calibration | None) -> None:
        self._curve = list(calibration.verify_ms) if calibration else []
        self._measured = set(calibration.measured) if calibration else set()
        doubtful = calibration is not None and calibration.doubtful
        # What is doubted is looked at again: a plain step and a draft, before anything is planned by it.
        self._widths = set() if doubtful else set(range(1, len(self._curve) + 1))
        self._doubted = {"scale", "tilt"} if doubtful else set() if self._curve else {"tilt"}
        self._scale, self._tilt, self._least_scale = 1.0, 0.0, math.inf
        # Variances of scale and tilt, and their covariance.
        self._scale_var, self._tilt_var, self._cross = _SCALE_VARIANCE, _TILT_VARIANCE, 0.0
        self._doubtful = doubtful
        if doubtful:
            self._scale_var, self._tilt_var = _SURPRISED_SCALE_VARIANCE, _SURPRISED_TILT_VARIANCE
        self._own: dict[int, float] = {}
        self._padded_to: list[int] = []  # by width; to be found anew when something was learnt
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
        self._padded_to = []
        if len(self._curve) > 1 and not self._doubtful:  # else the tilt is all that is known of wide passes
            self._tilt = 0.0
        self._least_scale = self._scale = min(self._least_scale, self._scale)
        self._own.clear()
        self._scale_var, self._tilt_var, self._cross = _NEW_TEXT_VARIANCE, _TILT_VARIANCE, 0.0

    def at(self, width: int) -> float:
        """Expected milliseconds of a pass over `width` tokens, padded where that pays; 1 while nothing is known."""
        return self._of(self.rows(width))

    def rows(self, width: int) -> int:
        """How many rows a pass over `width` tokens should have. A plain step is never padded."""
        if not self._padded_to:
            self._padded_to = self._cheapest()
        return self._padded_to[width] if width < len(self._padded_to) else width

    def _cheapest(self) -> list[int]:
        """For each width of the curve what it is padded to; nothing for 0."""
        widest = len(self._curve)
        last = max(self._measured, default=widest)
        best, padded_to = last, list(range(widest + 1))  # beyond the last nothing is known to be cheaper
        for width in range(last, 1, -1):
            if self._measured and width not in self._measured:
                padded_to[width] = best
                continue
            if self._of(best) < _WORTH_PADDING * self._of(width):
                padded_to[width] = best
            if self._of(width) < self._of(best):
                best = width
        return padded_to

    def _of(self, width: int) -> float:
        """Expected milliseconds of a pass over exactly so many rows."""
        if not self._curve:
            return 1.0
        return max(1e-6, self._model(width) * (1.0 + self._own.get(width, 0.0)))

    def observe(self, width: int, milliseconds: float) -> None:
        """Learn from one pass over so many rows."""
        self._widths.add(width)
        self._padded_to = []
        if not self._curve:
            self._curve = [milliseconds / (1.0 + _FIRST_SLOPE * (width - 1))]
            return
        if self._doubted and self._look(width, milliseconds):
            return
        expected = self._of(width)
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
        left_over = (milliseconds - self._of(width)) / self._model(width)
        self._own[width] = self._own.get(width, 0.0) + 0.1 * max(-_CLIP, min(_CLIP, left_over))

    def _look(self, width: int, milliseconds: float) -> bool:
        """A first look at a plain step, or at a wider pass. Where nobody knew better it is what that takes: there is
        nothing to weigh it against. Gives whether it was one."""
        if width == 1 and "scale" in self._doubted:
            self._doubted.remove("scale")
            self._scale *= milliseconds / self._of(1)
        elif width > 1 and "tilt" in self._doubted:
            self._doubted.remove("tilt")
            self._tilt += (milliseconds - self._of(width)) / (self._curve[0] * (width - 1))
        else:
            return False
        return True

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
    """Time of drafting: a step a pass, and a little for every token the drafter must catch up on.

    What such a token takes is as calibrated; where nobody did, it is the least that any look has shown.
    """

    def __init__(self, step_ms: float, token_ms: float = 0.0) -> None:
        self._step_ms, self._token_ms = step_ms, token_ms
        self._reading_calibrated = token_ms > 0
        self._looks = 2 if step_ms > 0 else 0
        self._first_ms = self._least_ms = math.inf

    def begin(self) -> None:
        """Another text: a step takes what it took at the end of the text where it took least. What a long context adds
        is learnt again where there is one."""
        if self._looks > 1:
            self._least_ms = self._step_ms = min(self._least_ms, self._step_ms)

    @property
    def known(self) -> bool:
        """Whether a step was seen that had no graph built in it."""
        return self._looks > 1

    def shares_of(self, plain_step_ms: float) -> tuple[float, float]:
        """A step, and a token to catch up on, as shares of a plain step."""
        return self._step_ms / plain_step_ms, self._token_ms / plain_step_ms

    @property
    def knows_reading(self) -> bool:
        """Whether it is known what a token to catch up on takes."""
        return self._token_ms > 0

    def at(self, steps: float, behind: int = 0) -> float:
        """Expected milliseconds of `steps` draft passes with `behind` tokens to read first."""
        return self._step_ms * steps + self._token_ms * behind

    def observe(self, steps: int, behind: int, milliseconds: float) -> None:
        """Learn from one proposal that took `steps` >= 1 passes."""
        if behind > _FEW_BEHIND and not self._reading_calibrated:
            # Mostly a text to catch up on: it says next to nothing about a step.
            if self._looks:
                read_ms = max(0.0, milliseconds - self._step_ms * steps) / behind
            else:  # a step is not known either: as long as one token's reading
                read_ms = milliseconds / (steps + behind)
            self._token_ms = min(self._token_ms or math.inf, read_ms)
            return
        step = max(0.0, milliseconds - self._token_ms * behind) / steps
        self._looks += 1
        if self._looks == 1:
            # Graphs and kernels may have been built in it: of the first two looks the cheaper one counts.
            self._first_ms = step
        elif self._looks == 2:
            self._step_ms = min(self._first_ms, step)
        else:
            self._step_ms += 0.15 * (min(step, 3.0 * self._step_ms) - self._step_ms)


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
