"""What passes cost that several answers share, learnt from those passes: nobody's own controller learns from them.

A pass over the rows of many answers is not the pass of one answer over as many rows: each attends for itself, and the
host has more to do. So what was measured of one answer is where this begins. Values and floats only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.fit import Fit
from mlx_spec.lookahead.lengths import DraftCost
from mlx_spec.lookahead.odds import Ratio

# So many rows a pass has at most because of drafts, where none was measured.
_WIDEST: Final = 32
# In units of the calibrated curve: how far its scale may be off, and in plain steps what each further answer and each
# drafted row take beside it.
_DEVIATIONS: Final = (0.15, 0.03, 0.02)
_DOUBTFUL_DEVIATIONS: Final = (0.5, 0.06, 0.1)
_WANDER: Final = 0.15
_NOISE: Final = 0.08
_SURPRISE: Final = 0.25
# The first pass of a width counts for as much as what was thought before, later ones for a tenth at least.
_OWN_SHARE: Final = 0.1
_OWN_MOST: Final = 0.6
# Until a pass is seen, every further row is taken to cost a twentieth of one.
_FIRST_SLOPE: Final = 0.05
_WORTH_PADDING: Final = 0.97
_BUDGET_SHARE: Final = 0.005
# As in `Exploration`: a plain step is looked at as often as costs half a per cent, and sooner again where it took
# something else than was thought.
_PLAIN_SHARE: Final = 0.005
_FEWEST_STEPS_BETWEEN_PLAIN: Final = 6
_FEWEST_WHERE_SURPRISED: Final = 2
_SURPRISING: Final = 0.04
_ABOUT_AS_MANY: Final = 1.5
_PLAIN_NEWEST: Final = 0.3
# A pass with drafts that is so far off may have been off for all passes, or for drafts alone: that decides whether they
# pay. But some machines are never quiet.
_DRAFTS_SURPRISING: Final = 0.15
_STEPS_BETWEEN_SURPRISES: Final = 24
# A plain step was seen so many steps ago at most, or the machine may be another by now.
_LONGEST_SEEN: Final = 64
# What steps with drafts take beside their passes, in plain steps, is a mean over the last of them, no single one of
# which counts for more than half a plain step; and is forgotten while there are none: else one bad moment would park
# drafts for good.
_BESIDE_NEWEST: Final = 0.15
_BESIDE_MOST: Final = 0.5
_BESIDE_FORGOTTEN: Final = 0.005


class SharedPassTimes:
    """Time of a pass of the target by answers B and rows w: s·c(w) + a·c(1)·(B - 1) + t·c(1)·(w - B), and a slow
    correction for each width; c is the calibrated curve, s, a and t are learnt.

    Answers and their drafts are told apart, as only the latter are to be chosen. The curve has steps: so a pass of w
    rows costs what the cheapest measured one of at least as many does, and `rows` says how many that has.
    """

    def __init__(self, calibration: Calibration | None, limit: int | None = None) -> None:
        """Of more than `limit` rows there are several passes."""
        self._limit = limit
        calibration = calibration.within(limit) if calibration else None
        self._curve = list(calibration.verify_ms) if calibration else []
        self._measured = set(calibration.measured or range(1, len(self._curve) + 1)) if calibration else set()
        doubtful = calibration is None or calibration.doubtful
        self._fit = Fit((1.0, 0.0, 0.0), _DOUBTFUL_DEVIATIONS if doubtful else _DEVIATIONS, _WANDER)
        self._own: dict[int, tuple[float, int]] = {}  # by rows, of which some are drafts
        self._plain: dict[int, tuple[float, int]] = {}  # by answers, none of which drafted: and in which step
        self._steps = 0
        self._cheapest: dict[
            int, list[tuple[float, int]]
        ] = {}  # by answers; to be found anew when something was learnt
        self._surprises = 0

    @property
    def known(self) -> bool:
        """Whether any pass was measured."""
        return bool(self._curve)

    @property
    def widest(self) -> int:
        """So many rows a pass may have because of drafts: beyond what was measured the next step may be a steep one."""
        return max(self._measured, default=_WIDEST) if self._limit is None else _WIDEST

    def widen(self, ratios: Mapping[int, float]) -> None:
        """Be told what wider passes take, in plain steps, by rows: those count that were not measured before. What lies
        between two that were is as dear as these at most, and as cheap at least."""
        ratios = {width: ratio for width, ratio in ratios.items() if self._limit is None or width <= self._limit}
        if len(self._curve) < 2 or not ratios:
            return
        unit, widest = self._curve[0], self.widest
        for width in sorted(width for width in ratios if width < widest and width not in self._measured):
            below = max((known for known in self._measured if known < width), default=1)
            cost = min(max(unit * ratios[width], self._curve[below - 1]), self._curve[width - 1])
            self._curve[below:width] = [cost] * (width - below)
            self._measured.add(width)
        del self._curve[widest:]
        for width in sorted(width for width in ratios if width > widest):
            self._curve += [unit * ratios[width]] * (width - len(self._curve))
            self._measured.add(width)
        self._cheapest.clear()

    def at(self, answers: int, rows: int) -> float:
        """Expected milliseconds of a pass over so many `rows` of so many `answers`, padded where that pays."""
        return self._plain_ms(answers) if rows == answers and self._plain else self._padded(answers, rows)[0]

    def has_seen_plain(self, answers: int) -> bool:
        """Whether a pass without drafts was seen of about as many answers, and not long ago."""
        return any(self._is_recent(seen) for seen in self._about(answers))

    def rows(self, answers: int, rows: int) -> int:
        """How many rows a pass should have that has so many to score: more where that takes less time."""
        return self._padded(answers, rows)[1]

    def observe(self, answers: int, rows: int, milliseconds: float, *, drafts: bool) -> None:
        """Learn from one pass, `rows` with what it was padded by, and whether some of them were drafts. Without them it
        is what all else is weighed against: that is remembered as it was seen, and not as it fits with other passes."""
        self._steps += 1
        if not self._curve:
            self._curve = [milliseconds / (1.0 + _FIRST_SLOPE * (rows - 1))]
        expected, unit = self._of(answers, rows) if drafts else self.at(answers, rows), self._curve[0]
        self._surprises = self._surprises + 1 if abs(milliseconds - expected) > _SURPRISE * expected else 0
        if self._surprises >= 2:  # the machine is another now
            self._fit.doubt()
            self._own.clear()
        self._fit.observe(self._terms(answers, rows), milliseconds / unit, _NOISE * expected / unit)
        if drafts:
            left_over = milliseconds / self._of(answers, rows) - 1.0
            own, seen = self._own.get(rows, (0.0, 1))
            own += max(_OWN_SHARE, 1 / (seen + 1)) * left_over
            self._own[rows] = max(-_OWN_MOST, min(_OWN_MOST, own)), seen + 1
        else:
            known = answers in self._plain and self._is_recent(answers)
            before = self._plain[answers][0] if known else milliseconds
            self._plain[answers] = before + _PLAIN_NEWEST * (milliseconds - before), self._steps
        self._cheapest.clear()

    def _plain_ms(self, answers: int) -> float:
        """By what was seen of the nearest number of answers: not long ago, where there is such."""
        recent = [seen for seen in self._about(answers) if self._is_recent(seen)]
        nearest = min(recent or self._plain, key=lambda seen: max(seen, answers) / min(seen, answers))
        return self._plain[nearest][0] * self._padded(answers, answers)[0] / self._padded(nearest, nearest)[0]

    def _about(self, answers: int) -> list[int]:
        """The numbers of answers, about as many, of which a pass without drafts was seen."""
        return [seen for seen in self._plain if max(seen, answers) <= _ABOUT_AS_MANY * min(seen, answers)]

    def _is_recent(self, answers: int) -> bool:
        return self._steps - self._plain[answers][1] <= _LONGEST_SEEN

    def _padded(self, answers: int, rows: int) -> tuple[float, int]:
        if answers not in self._cheapest:
            self._cheapest[answers] = self._cheapest_of(answers)
        cheapest = self._cheapest[answers]
        return cheapest[rows] if rows < len(cheapest) else (self._of(answers, rows), rows)

    def _cheapest_of(self, answers: int) -> list[tuple[float, int]]:
        """For each width, from 0, what it takes and how many rows it has then."""
        last = max(self._measured, default=0)
        every = [(self._of(answers, width), width) for width in range(last + 1)]
        best = every[-1]
        for width in range(last - 1, 1, -1):
            if width in self._measured and every[width][0] * _WORTH_PADDING <= best[0]:
                best = min(best, every[width])
            else:
                every[width] = best
        return every

    def _of(self, answers: int, rows: int) -> float:
        """Expected milliseconds of a pass over exactly so many rows; in plain steps while nothing is known."""
        unit = self._curve[0] if self._curve else 1.0
        expected = unit * self._fit.at(self._terms(answers, rows))
        return max(0.05 * unit, expected) * (1.0 + self._own.get(rows, (0.0, 0))[0])

    def _terms(self, answers: int, rows: int) -> tuple[float, float, float]:
        return self._base(rows), answers - 1.0, float(rows - answers)

    def _base(self, rows: int) -> float:
        """The curve in plain steps, drawn on in a straight line beyond its end; of several passes, all of them."""
        if self._limit is not None and rows > self._limit:
            full, left = divmod(rows, self._limit)
            return full * self._base(self._limit) + (self._base(left) if left else 0.0)
        known = len(self._curve)
        if known < 2:
            return 1.0 + _FIRST_SLOPE * (rows - 1)
        if rows <= known:
            return self._curve[max(0, rows - 1)] / self._curve[0]
        last = self._curve[-1] / self._curve[0]
        return last + (last - 1.0) / (known - 1) * (rows - known)


@dataclass(frozen=True, slots=True)
class SharedDrafting:
    """What drafting took in one step: `levels` passes of a drafter, over `rows` tokens in all; `step_ms` and `token_ms`
    is what was known of it before, of one answer: a pass over one token, and each further token. Where each answer
    drafts `alone`, a level is a pass for each."""

    drafter: str
    levels: int
    rows: int
    milliseconds: float
    step_ms: float = 0.0
    token_ms: float = 0.0
    alone: bool = False


class SharedCosts:
    """What the passes that answers share cost, and what may be spent on finding out more."""

    def __init__(self, calibration: Calibration | None = None, limit: int | None = None) -> None:
        """No pass of the target has more than `limit` rows, where there is one: of more there are several passes."""
        self.passes = SharedPassTimes(calibration, limit)
        """What a pass of the target takes."""
        self._drafting: dict[str, Fit] = {}
        self._seen: set[str] = set()
        self._beside, self._whole_steps = 0.0, 0
        self._outcomes: dict[str, Ratio] = {}
        self._since_plain, self._between_plain = 0, _FEWEST_STEPS_BETWEEN_PLAIN
        self._plain_wanted, self._since_surprise = False, _STEPS_BETWEEN_SURPRISES
        self.budget_ms = 0.0
        """May be spent on drafts for what they teach: half a per cent of the time, a plain step at most."""

    def drafting(self, drafter: str, step_ms: float, token_ms: float, *, alone: bool = False) -> DraftCost:
        """What a drafter takes in a step; what is known of it for one answer counts until it was seen. Of one that
        nothing is known of, nothing: so it is tried."""
        if drafter not in self._drafting:
            return DraftCost(0.0, step_ms) if alone else DraftCost(max(0.0, step_ms - token_ms), token_ms)
        return DraftCost(*self._drafting[drafter].weights)

    def observe(self, answers: int, rows: int, verify_ms: float, *drafting: SharedDrafting, drafts: bool) -> None:
        """Learn from one step in which all answers shared each pass, whether some of its rows were `drafts`, and from
        the `drafting` of each drafter whose model made passes in it."""
        self._look_at_plain(answers, rows, verify_ms, drafts=drafts)
        self.passes.observe(answers, rows, verify_ms, drafts=drafts)
        new = [one.drafter for one in drafting if one.drafter not in self._seen]
        self._seen.update(new)
        for one in drafting if not new else ():  # graphs and kernels may have been built in it, and way tried
            self._observe_drafting(one)
        spent_ms = verify_ms + sum(one.milliseconds for one in drafting)
        self.budget_ms = min(self.budget_ms + _BUDGET_SHARE * spent_ms, self.passes.at(answers, answers))

    def beside_ms(self, answers: int) -> float:
        """What a step of so many answers with drafts takes beside its passes: the host plans, and builds what it has
        not met yet, while nothing is computed."""
        return max(0.0, self._beside) * self.passes.at(answers, answers)

    def took(self, spent_ms: float, expected_ms: float, answers: int) -> None:
        """Be told what a whole step of so many answers with drafts has taken, of which so much was expected, what is
        beside its passes included."""
        share = (spent_ms - expected_ms) / self.passes.at(answers, answers)
        self._whole_steps += 1
        newest = max(_BESIDE_NEWEST, 1 / self._whole_steps)
        self._beside += newest * max(-_BESIDE_MOST, min(_BESIDE_MOST, share))

    def trust(self, drafter: str) -> float:
        """By what the odds of those that are chosen are too good, as their outcomes have shown; 1 at most."""
        return min(1.0, self._outcomes[drafter].value) if drafter in self._outcomes else 1.0

    def brought(self, drafter: str, expected: float, accepted: int) -> None:
        """Be told that of the drafts of one step so many tokens stand, of which so many were `expected`."""
        self._outcomes.setdefault(drafter, Ratio()).observe(accepted, expected)

    def plain_is_due(self, answers: int, lost_ms: float, plain_ms: float) -> bool:
        """Whether a step without drafts is worth looking at, all costs being measured against it: it loses so much of
        its time against the drafts that are planned. While all draft nothing else would tell them that it pays. One
        that was never seen of about as many answers is."""
        waited = self._since_plain
        if self._plain_wanted or not self.passes.has_seen_plain(answers):
            return True
        return waited >= self._between_plain and lost_ms <= _PLAIN_SHARE * plain_ms * waited

    def _look_at_plain(self, answers: int, rows: int, verify_ms: float, *, drafts: bool) -> None:
        expected, known = self.passes.at(answers, rows), self.passes.known
        off = abs(verify_ms - expected) / expected if known else 0.0
        self._since_surprise += 1
        if drafts:
            self._since_plain += 1
            if off > _DRAFTS_SURPRISING and self._since_surprise >= _STEPS_BETWEEN_SURPRISES:
                self._plain_wanted, self._since_surprise = True, 0
            return
        self._since_plain, self._plain_wanted = 0, False
        self._beside -= _BESIDE_FORGOTTEN * self._beside
        self._between_plain = _FEWEST_WHERE_SURPRISED if off > _SURPRISING else _FEWEST_STEPS_BETWEEN_PLAIN

    def _observe_drafting(self, drafting: SharedDrafting) -> None:
        name, levels, rows = drafting.drafter, float(drafting.levels), float(drafting.rows)
        if name not in self._drafting:
            step_ms, token_ms = drafting.step_ms, drafting.token_ms
            step_ms = step_ms or drafting.milliseconds / levels
            # A head may be a pass for each answer: then a row takes what a level was taken to take.
            first = (0.0, step_ms) if drafting.alone else (max(0.0, step_ms - token_ms), token_ms)
            self._drafting[name] = Fit(first, (0.5 * step_ms, step_ms), _WANDER, 0.0)
        fit, terms = self._drafting[name], (levels, rows)
        fit.observe(terms, drafting.milliseconds, 0.15 * max(drafting.milliseconds, fit.at(terms), 1e-3))
