"""The plans of all answers of a step, made together: the rows of the target's pass are theirs to share out.

Fixed lengths and trees stay what they are, and take their rows. All others get chains, as long as `choose_lengths` has
them: a tree fills a pass that one answer has for itself, and here its rows are somebody's likelier tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mlx_spec.lookahead.candidate import Offer
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.lengths import Choice, DraftCost, Lengths, Prospect, choose_lengths, reached, survival
from mlx_spec.lookahead.plan import LookaheadController, Option, Plan
from mlx_spec.lookahead.shared_costs import SharedCosts

# Drafting for a gain of less would now and then be a loss: costs and odds are noisy.
_WORTH_DRAFTING: Final = 1.02
_FEWEST_ROUNDS_BETWEEN_TRIALS: Final = 6
# To read more first, in plain steps, is not for one round to pay.
_CHEAP_TO_READ: Final = 0.25


@dataclass(frozen=True, slots=True)
class Wish:
    """What an answer's controller is asked: its drafters' options, and how many tokens may be drafted at most."""

    controller: LookaheadController
    options: Sequence[Option]
    room: int


def plan_together(wishes: Sequence[Wish]) -> list[Plan]:
    """The next round of each answer. One alone is planned by its own controller, and so is each that does not weigh
    costs."""
    ours = {at: wish.controller for at, wish in enumerate(wishes) if isinstance(wish.controller, CostLookahead)}
    shared = shared_costs([*ours.values()])
    if len(wishes) == 1 or shared is None:
        return [wish.controller.plan(wish.options, wish.room) for wish in wishes]
    plans = {at: wish.controller.plan(wish.options, wish.room) for at, wish in enumerate(wishes) if at not in ours}
    taken = sum(plan.shape.size if plan.shape else plan.length for plan in plans.values())
    step = _Step(shared, len(wishes), taken)
    offered = [(controller, controller.offers(wishes[at].options, wishes[at].room)) for at, controller in ours.items()]
    plans |= zip(ours, step.plans(offered), strict=True)
    return [plans[at] for at in range(len(wishes))]


def expects_to_draft(wish: Wish, answers: int) -> bool:
    """Whether the first rounds of an answer will most likely draft, in a step of so many that are like it."""
    controller = wish.controller
    known = controller.shared is not None and controller.shared.passes.known
    if answers < 2 or not known or not isinstance(controller, CostLookahead):
        return controller.expects_to_draft(wish.options, wish.room)
    assert controller.shared is not None
    return _Step(controller.shared, answers, 0).pays(controller.offers(wish.options, wish.room))


def shared_costs(controllers: Sequence[LookaheadController]) -> SharedCosts | None:
    """What is known of passes that these answers share; None where nobody watches that."""
    return next((one.shared for one in controllers if one.shared is not None), None)


class _Step:
    """One step of `answers`, of which some have `taken` rows for their drafts already."""

    def __init__(self, shared: SharedCosts, answers: int, taken: int) -> None:
        self._shared, self._answers, self._taken = shared, answers, taken
        self._places = max(0, shared.passes.widest - answers - taken)
        self._plain_ms = shared.passes.at(answers, answers)

    def plans(self, offered: Sequence[tuple[CostLookahead, Sequence[Offer]]]) -> list[Plan]:
        """How far each is to draft. Until it is known what a pass takes, nobody does."""
        if not self._shared.passes.known:
            return [Plan(None, 0, "measuring a plain step") for _ in offered]
        best = [self._best(offers) for _, offers in offered]
        # Those that have much to read first are drafted for when a trial pays for that, and not before.
        soon = [offer if offer and self._is_soon_read(offer) else None for offer in best]
        costs = self._costs(best)
        others = [Prospect("", ())] * (self._answers - len(offered))  # they write a token each as well
        chosen = choose_lengths([*map(self._prospect, soon), *others], self._target_ms, costs, self._places)
        possible = Choice([*map(self._prospect, best), *others], self._target_ms, costs, self._places)
        if chosen.rate < _WORTH_DRAFTING * chosen.plain_rate:
            chosen = possible.outcome((0,) * self._answers)
        elif self._shared.plain_is_due(self._answers, self._plain_ms - self._answers / chosen.rate, self._plain_ms):
            return [Plan(None, 0, "a try: what a plain step costs now") for _ in offered]
        trials, step = self._trials(offered, best, chosen, possible.outcome)
        reason = f"{chosen.rate / chosen.plain_rate:.2f}x plain expected of {self._answers} answers"
        return [
            _plan(offer, length, number in trials, reason, step.milliseconds)
            for number, (offer, length) in enumerate(zip(best, chosen.lengths, strict=False))
        ]

    def pays(self, offers: Sequence[Offer]) -> bool:
        """Whether drafts pay where all answers have these offers."""
        best = self._best(offers)
        every = [self._prospect(best)] * self._answers
        chosen = choose_lengths(every, self._target_ms, self._costs([best]), self._places)
        return chosen.rate >= _WORTH_DRAFTING * chosen.plain_rate

    def _pass_ms(self, rows: int) -> float:
        """A pass over so many rows beside those that are taken."""
        return self._shared.passes.at(self._answers, rows + self._taken)

    def _target_ms(self, rows: int) -> float:
        """The same, and what a step with drafts takes beside its pass."""
        drafts = rows + self._taken > self._answers
        return self._pass_ms(rows) + (self._shared.beside_ms(self._answers) if drafts else 0.0)

    def _costs(self, offers: Sequence[Offer | None]) -> dict[str, DraftCost]:
        return {offer.option.drafter: self._cost(offer) for offer in offers if offer}

    def _cost(self, offer: Offer) -> DraftCost:
        option = offer.option
        return self._shared.drafting(option.drafter, offer.step_ms, offer.token_ms, alone=option.alone)

    def _is_soon_read(self, offer: Offer) -> bool:
        return offer.unread_ms <= _CHEAP_TO_READ * self._plain_ms

    def _best(self, offers: Sequence[Offer]) -> Offer | None:
        """The drafter to ask, if any."""
        return max(offers, key=self._worth) if len(offers) > 1 else next(iter(offers), None)

    def _worth(self, offer: Offer) -> float:
        """Tokens that an offer brings beyond what its time is worth, if all drafted as far: which drafter to ask."""
        rate = self._answers / self._plain_ms
        row_ms = max(0.0, self._pass_ms(2 * self._answers) - self._pass_ms(self._answers)) / self._answers
        cost = self._cost(offer)
        token_ms = row_ms + cost.row_ms + cost.level_ms / self._answers
        prospect = self._prospect(offer)
        gains = [
            sum(prospect.chances[:length]) - rate * token_ms * prospect.rows(length)
            for length in range(1, len(prospect.chances) + 1)
        ]
        return max(gains, default=0.0)

    def _prospect(self, offer: Offer | None) -> Prospect:
        """What drafting promises, as far as the outcomes of such promises let it be believed."""
        if offer is None:
            return Prospect("", ())
        trust = self._shared.trust(offer.option.drafter)
        return Prospect(
            offer.option.drafter, [trust * chance for chance in survival(offer.rates)], reached(offer.rates)
        )

    def _trials(
        self,
        offered: Sequence[tuple[CostLookahead, Sequence[Offer]]],
        best: Sequence[Offer | None],
        chosen: Lengths,
        outcome: Callable[[tuple[int, ...]], Lengths],
    ) -> tuple[set[int], Lengths]:
        """Who drafts a token though it does not pay, for what that teaches: those that have not for long, all of them
        or else the one that has waited longest, where the budget allows it; and what the step is then."""
        waiting = [
            (controller.waited, number)
            for number, (controller, offer) in enumerate(zip((one for one, _ in offered), best, strict=True))
            if offer and not chosen.lengths[number] and controller.waited >= _FEWEST_ROUNDS_BETWEEN_TRIALS
        ]
        for tried in ([number for _, number in waiting], [max(waiting)[1]] if waiting else []):
            lengths = tuple(1 if number in tried else length for number, length in enumerate(chosen.lengths))
            if not tried or sum(lengths) > self._places:
                continue
            trial = outcome(lengths)
            price = trial.milliseconds - chosen.milliseconds - (trial.tokens - chosen.tokens) / chosen.rate
            # To read what it fell behind by is no part of one answer's price: see `Estimator.cheap_reading_ms`. But the
            # prompts of all at once are.
            every = [offer for offer in (best[number] for number in tried) if offer]
            price += sum(offer.unread_ms if len(every) > 1 else offer.dear_ms for offer in every)
            if price <= self._shared.budget_ms:
                self._shared.budget_ms -= max(0.0, price)
                return set(tried), trial
        return set(), chosen


def _plan(offer: Offer | None, length: int, is_trial: bool, reason: str, step_ms: float) -> Plan:
    if offer is None:
        return Plan(None, 0, "nothing to draft")
    if is_trial:
        length, reason = 1, f"a try: {reason}"
    if length == 0:
        return Plan(None, 0, f"parked: {reason}", parked=True)
    return Plan(offer.option.drafter, length, reason, expected=sum(survival(offer.rates)[:length]), step_ms=step_ms)
