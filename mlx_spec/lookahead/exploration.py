"""Rounds that are planned for what they teach and not for what they bring, and the budget that they are paid from.

A draft that is parked, a longer one than is usual, a plain step: nobody knows what they would bring now unless they are
tried. Knows estimates only, no drafter and no clock.
"""

from collections.abc import Sequence
from typing import Final

from mlx_spec.lookahead.candidate import Candidate
from mlx_spec.lookahead.estimator import CHEAP_STEPS, Estimator

_BUDGET_SHARE: Final = 0.01
_FEWEST_ROUNDS_BETWEEN_TRIALS: Final = 6
# The less a draft promises, the more depends on what a plain step costs, and the less it costs to look.
_PLAIN_STEPS_SHARE: Final = 0.005
_PLAIN_TRIALS: Final = 4
# Where the costs have just changed it is worth more; but on a machine that is never quiet they do all the time, and a
# plain step in the place of a long draft costs nearly a step each.
_WANTED_PLAIN_STEPS_SHARE: Final = 0.1


class Exploration:
    """Says which trial is due. Trials of drafts cost at most 1 % of the time, plain steps half a per cent."""

    def __init__(self) -> None:
        self._budget_ms = 0.0
        self._since_trial = self._since_plain = 0
        self._plain_wanted = 0  # how often to try: the costs have changed, and no plain step was measured since
        self._usual_rate: float | None = None  # tokens a millisecond without the trial that is under way

    def begin(self) -> None:
        """Another text: no debt is left of trials. With a long context one costs what a short text saves up in a
        hundred rounds."""
        self._budget_ms = max(0.0, self._budget_ms)

    def begin_round(self) -> None:
        """Another round is planned; it is no trial unless `start` says so."""
        self._usual_rate = None

    def start(self, instead_of: Candidate) -> None:
        """The round that was planned is a trial, in the place of this one."""
        self._usual_rate, self._since_trial = instead_of.rate, 0

    def due(
        self, chosen: Candidate, drafts: Sequence[Candidate], plain: Candidate, estimator: Estimator
    ) -> Candidate | None:
        """Another round than the `chosen` that is worth its price for what it would teach: the best draft while parked,
        else one token more than is usual, or a plain step. None where none is due."""
        lost_ms = plain.milliseconds - plain.tokens / chosen.rate
        is_cheap = lost_ms <= _WANTED_PLAIN_STEPS_SHARE * plain.milliseconds * self._since_plain
        if chosen.option is not None and self._plain_wanted and self._since_plain >= 2 and is_cheap:
            self._plain_wanted -= 1
            return plain  # all costs are measured against a plain step
        if self._since_trial < _FEWEST_ROUNDS_BETWEEN_TRIALS:
            return None
        if chosen.option is None:
            rival = max(drafts, key=lambda candidate: candidate.rate)
        else:
            if lost_ms <= _PLAIN_STEPS_SHARE * plain.milliseconds * self._since_plain:
                return plain
            longer = [candidate for candidate in drafts if candidate.is_longer(chosen)]
            if not longer:
                return None
            rival = longer[0]
        price = rival.milliseconds - estimator.cheap_reading_ms(rival.option) - rival.tokens / chosen.rate
        return rival if price <= self._budget_ms else None

    def end_round(self) -> None:
        """A round is over."""
        self._since_trial += 1
        self._since_plain += 1

    @property
    def waited_long(self) -> bool:
        """Whether more rounds have passed without a trial than have to."""
        return self._since_trial > _FEWEST_ROUNDS_BETWEEN_TRIALS

    def timed(self, rows: int, *, costs_changed: bool) -> None:
        """The time of a pass over so many rows was learnt from. A plain step is wanted where it has shown that the
        costs are others now, and there is one where it had a single row."""
        if costs_changed:
            self._plain_wanted = _PLAIN_TRIALS
        if rows == 1:
            self._since_plain = self._plain_wanted = 0

    def save(self, spent_ms: float, plain_step_ms: float) -> None:
        """Put a share of a round's time into the budget, which holds two plain steps at most."""
        self._budget_ms = min(self._budget_ms + _BUDGET_SHARE * spent_ms, CHEAP_STEPS * plain_step_ms)

    def pay(self, spent_ms: float, tokens: int) -> None:
        """Where the round was a trial, take from the budget what it cost beyond the time in which as many tokens are
        usually made. That may leave a debt, or bring a gain."""
        if self._usual_rate is not None:
            self._budget_ms -= spent_ms - tokens / self._usual_rate
