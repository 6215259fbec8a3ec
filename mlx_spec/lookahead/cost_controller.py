"""The cost controller: plans the round that is expected to bring most tokens a millisecond, by what was measured.

Three parts beside it: the `Estimator` prices every candidate, `Exploration` says when another one is tried, and
`shapes` holds the trees that are weighed.
"""

from collections.abc import Sequence
from typing import Final

from mlx_spec.config import SpeculativeConfig
from mlx_spec.lookahead.candidate import Candidate, Offer
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.estimator import Estimator
from mlx_spec.lookahead.experience import Experience
from mlx_spec.lookahead.exploration import Exploration
from mlx_spec.lookahead.plan import Observation, Option, Plan, chain_by_first
from mlx_spec.lookahead.shapes import tree_shapes
from mlx_spec.lookahead.shared_costs import SharedCosts

# It changes its mind for a gain of this much, and no less: costs are noisy.
_GAIN_TO_CHANGE: Final = 1.01
_GAIN_TO_RESUME: Final = 1.03


class CostLookahead:
    """Plans the round that promises most tokens a millisecond, from measured times and acceptance.

    Length 0 is a choice: where no draft pays it parks. It then tries a draft now and then, as often as costs at most
    1 % of the time, and resumes when a trial, or a shadow proposal that cost nothing, promises a gain again. Where a
    draft pays it measures a plain step as often as costs half a per cent, which is the oftener the less the draft
    brings. Changes need a gain of 1 % (3 % to resume), so that noise does not make it swing. One instance serves the
    answers of a decoder one after the other: what it learnt about the machine and the drafters stays true. For answers
    at the same time there is `another`, and where they share a step, it is `lookahead.together` that plans.
    """

    def __init__(
        self,
        config: SpeculativeConfig,
        calibration: Calibration | None = None,
        experience: Experience | None = None,
        shared: SharedCosts | None = None,
    ) -> None:
        """`shared` is what the passes cost that its answers share with others; one for all who may share them."""
        self._config = config
        self.shared: SharedCosts | None = shared or SharedCosts(calibration)
        self._estimator = Estimator(config.max_lookahead, tree_shapes(config), calibration, experience)
        self._exploration = Exploration()
        self._last: Candidate | None = None
        self.in_use = False
        """Whether an answer is under way that it plans."""
        self.waited = 0
        """Rounds since it drafted."""

    def another(self) -> "CostLookahead":
        """One for an answer at the same time: its own odds and trials, the same costs and experience."""
        other = CostLookahead(self._config, shared=self.shared)
        other._estimator = self._estimator.another()
        return other

    @property
    def experience(self) -> Experience:
        """What the next process may begin with."""
        return self._estimator.experience

    def begin(self) -> None:
        """Another answer: what the machine costs stays true. What its context costs and how drafts fare is to be learnt
        again, and no debt is left of trials."""
        self._estimator.begin()
        self._exploration.begin()
        self.in_use, self.waited = True, 0

    def end(self) -> None:
        """The answer is over, and has its part in what is known of texts."""
        if self.in_use:
            self._estimator.learn_text()
        self.in_use = False

    def plan(self, options: Sequence[Option], room: int) -> Plan:
        """The best round by expectation, or a trial that is due."""
        self._exploration.begin_round()
        if opening := self._opening(options, room):
            return opening
        plain, drafts = self._estimator.plain(), self._estimator.drafts(options, room)
        if not drafts:
            self._last = plain
            return Plan(None, 0, "nothing to draft")
        allowed = [plain, *(draft for draft in drafts if self._is_credible(draft))]
        chosen = self._settle(max(allowed, key=lambda candidate: candidate.rate), allowed)
        trial = self._exploration.due(chosen, drafts, plain, self._estimator)
        if trial is not None:
            self._exploration.start(instead_of=chosen)
            if trial.option is None:
                return Plan(None, 0, "a try: what a plain step costs now")
            return _plan_for(trial, f"a try: {_gain(trial, plain)}")
        self._last = chosen
        if chosen.option is None:
            rival = max(drafts, key=lambda candidate: candidate.rate)
            return Plan(None, 0, f"parked: {_gain(rival, plain)} with {rival.length} drafted", parked=True)
        return _plan_for(chosen, _gain(chosen, plain))

    def offers(self, options: Sequence[Option], room: int) -> list[Offer]:
        """What the drafters promise in a step that several answers share: chains of up to `room` tokens."""
        self._exploration.begin_round()
        drafting = (option for option in options if min(option.limit, room) > 0)
        return [self._estimator.offer(option, room) for option in drafting if self._believes(option)]

    def costs_of(self, drafter: str) -> tuple[float, float]:
        """What a pass of the drafter takes for one answer, and each further token in it; 0 where that is unknown."""
        return self._estimator.costs_of(drafter)

    def expects_to_draft(self, options: Sequence[Option], room: int) -> bool:
        """Whether any draft promises more than a plain step, or nothing is known yet."""
        if self._estimator.verify.known_widths < 2:
            return True
        plain = self._estimator.plain()
        drafts = self._estimator.drafts(options, room)
        return any(draft.rate > plain.rate and self._is_credible(draft) for draft in drafts)

    def likely_rows(self, options: Sequence[Option], room: int) -> Sequence[int]:
        """Those of the best draft, shorter where it ends when it grows unsure, and of a plain step, which is measured
        now and then."""
        drafts = self._estimator.drafts(options, room)
        if not drafts:
            return (1,)
        return self._estimator.likely_rows(max(drafts, key=lambda candidate: candidate.rate).length)

    def rows(self, count: int) -> int:
        """As many as the cheapest pass over at least so many has."""
        return self._estimator.verify.rows(count)

    def observe(self, round_: Observation) -> None:
        """Learn times and acceptance from a round."""
        verify = self._estimator.verify
        self._exploration.end_round()
        self.waited = 0 if round_.drafted else self.waited + 1
        if round_.shared:
            if round_.option is not None and round_.asked:
                self._estimator.observe(round_.option, round_)
            return
        # Better a doubtful time than none: where nothing is known nothing is drafted.
        if round_.telling or (verify.known_widths == 0 and self._exploration.waited_long):
            verify.observe(round_.rows, round_.verify_ms)
            self._exploration.timed(round_.rows, costs_changed=verify.surprises >= 2)
        spent_ms = round_.draft_ms + (round_.verify_ms if round_.telling else verify.at(round_.rows))
        self._exploration.save(spent_ms, verify.at(1))
        option = round_.option
        if option is None or round_.asked == 0:
            return
        self._exploration.pay(spent_ms - self._estimator.cheap_reading_ms(option), round_.accepted + 1)
        self._estimator.observe(option, round_)

    def observe_shadow(self, option: Option, proposed: int, accepted: int) -> None:
        """Learn acceptance from a proposal that was only compared with what the target said."""
        self._estimator.observe_shadow(option, proposed, accepted)

    @property
    def plain_step_ms(self) -> float | None:
        """The calibrated step, as every pass since has corrected it: what its own expectations are measured against."""
        return self._estimator.verify.at(1) if self._estimator.verify.known_widths else None

    def _opening(self, options: Sequence[Option], room: int) -> Plan | None:
        """Where nothing was calibrated, a plain step and a draft of the configured length show what each costs."""
        if self._estimator.verify.known_widths >= 2:
            return None
        if self._estimator.verify.known_widths == 0:
            return Plan(None, 0, "measuring a plain step")
        plan = chain_by_first(options, min(self._config.lookahead, room), "measuring a draft")
        return plan if plan.length else None

    def _is_credible(self, draft: Candidate) -> bool:
        assert draft.option is not None
        return self._believes(draft.option)

    def _believes(self, option: Option) -> bool:
        """Whether the target finds this drafter's tokens probable enough (`min_acceptance_ratio`)."""
        return self._estimator.acceptance_ratio(option) >= self._config.min_acceptance_ratio

    def _settle(self, best: Candidate, candidates: Sequence[Candidate]) -> Candidate:
        """The best candidate, or the one of the last round where the difference is not worth a change."""
        for candidate in candidates:
            if candidate.is_like(self._last):
                parked = candidate.option is None and best.option is not None
                needed = _GAIN_TO_RESUME if parked else _GAIN_TO_CHANGE
                return candidate if best.rate < needed * candidate.rate else best
        return best


def _gain(candidate: Candidate, plain: Candidate) -> str:
    return f"{candidate.rate / plain.rate:.2f}x plain expected"


def _plan_for(draft: Candidate, reason: str) -> Plan:
    assert draft.option is not None
    return Plan(draft.option.drafter, draft.length, reason, shape=draft.shape)
