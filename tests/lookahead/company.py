"""Made-up answers that share each step of a machine whose costs are known. No model, no clock."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlx_spec.config import SpeculativeConfig
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.experience import Experience
from mlx_spec.lookahead.plan import LookaheadController, Observation, Option, Plan
from mlx_spec.lookahead.shared_costs import SharedCosts, SharedDrafting
from mlx_spec.lookahead.together import Wish, plan_together

# The starter target's passes by rows, with OpenBLAS on two threads, context 60.
STARTER = {1: 40.0, 2: 50.0, 4: 64.0, 8: 73.0, 12: 107.0, 16: 76.0, 24: 118.0, 32: 118.0}
WIDTHS = tuple(STARTER)
MODEL = Option("model", 8)


def starter_ms(rows: int) -> float:
    """The cheapest measured pass of at least so many rows: a pass may be padded. Beyond them in a straight line."""
    return min((STARTER[width] for width in STARTER if width >= rows), default=118.0 + 3.7 * (rows - 32))


def calibration(step_ms: float = 6.0, token_ms: float = 0.2, scale: float = 1.0) -> Calibration:
    curve = [STARTER.get(rows, STARTER[min(width for width in WIDTHS if width >= rows)]) for rows in range(1, 33)]
    return Calibration(tuple(scale * ms for ms in curve), step_ms, token_ms, measured=WIDTHS)


@dataclass
class Company:
    """Answers in step, each drafted token of which is accepted as often as its `alphas` says.

    `answer_ms` is what each further answer takes, whatever its rows, and `row_ms` each drafted row beside what the
    curve says; `uncounted_ms` is what a step with drafts takes beside its passes, which nobody is told of but as a part
    of the whole; times have 3 % of noise. With `text_rounds` all answers end after so many rounds, and others begin;
    then it is tossed whether a token is accepted.
    """

    controllers: Sequence[LookaheadController]
    alphas: list[float]
    step_ms: float = 6.0
    token_ms: float = 0.2
    answer_ms: float = 0.0
    row_ms: float = 0.0
    uncounted_ms: float = 0.0
    slower: float = 1.0
    text_rounds: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._behind = [0] * len(self.alphas)
        self._owed = [[0.5] * 9 for _ in self.alphas]
        self._left = self.text_rounds
        self.tokens = self.spent_ms = 0.0

    def time(self, lengths: Sequence[int]) -> tuple[float, float]:
        """Milliseconds of drafting, and of the pass."""
        levels = range(1, max(lengths) + 1)
        drafting = sum(self.step_ms + self.token_ms * (sum(one >= at for one in lengths) - 1) for at in levels)
        rows = len(lengths) + sum(lengths)
        beside = self.answer_ms * (len(lengths) - 1) + self.row_ms * sum(lengths)
        return drafting, self.slower * (starter_ms(rows) + beside)

    def rate(self, lengths: Sequence[int]) -> float:
        """Expected tokens a millisecond."""
        return self._tokens(lengths) / (sum(self.time(lengths)) + self._beside(lengths))

    def _beside(self, lengths: Sequence[int]) -> float:
        return self.uncounted_ms if any(lengths) else 0.0

    def _tokens(self, lengths: Sequence[int]) -> float:
        every = zip(self.alphas, lengths, strict=True)
        return sum(sum(alpha**place for place in range(length + 1)) for alpha, length in every)

    def best_fixed(self, longest: int = 4) -> float:
        return max(self.rate([length] * len(self.alphas)) for length in range(longest + 1))

    @property
    def plain(self) -> float:
        return self.rate([0] * len(self.alphas))

    def learn(self, rounds: int) -> None:
        """Show the controllers how their drafts fare, and nothing of the times."""
        for _ in range(rounds):
            for at, controller in enumerate(self.controllers):
                accepted = 0
                while accepted < 8 and self._accepts(at, accepted):
                    accepted += 1
                seen = Observation(MODEL, 8, 8, min(8, accepted + 1), accepted, [], 0.0, 0.0, 8, shared=True)
                controller.observe(replace(seen, telling=False))

    def plans(self) -> list[Plan]:
        options = [replace(MODEL, behind=behind) for behind in self._behind]
        return plan_together([Wish(one, [option], 100) for one, option in zip(self.controllers, options, strict=True)])

    def run(self, rounds: int) -> list[list[int]]:
        """The lengths of so many rounds; `tokens` and `spent_ms` are those of these."""
        self.tokens = self.spent_ms = 0.0
        return [self._round() for _ in range(rounds)]

    @property
    def reached(self) -> float:
        return self.tokens / self.spent_ms

    def _round(self) -> list[int]:
        plans = self.plans()
        lengths = [plan.length for plan in plans]
        self.tokens += self._tokens(lengths)
        draft_ms, verify_ms = self.time(lengths)
        spent_ms = draft_ms + verify_ms + self._beside(lengths)
        self.spent_ms += spent_ms
        draft_ms, verify_ms = (ms * self._random.gauss(1.0, 0.03) for ms in (draft_ms, verify_ms))
        behind = sum(behind for behind, length in zip(self._behind, lengths, strict=True) if length)
        stand = 0
        for at, (controller, plan) in enumerate(zip(self.controllers, plans, strict=True)):
            accepted = 0
            while accepted < plan.length and self._accepts(at, accepted):
                accepted += 1
            option = replace(MODEL, behind=self._behind[at]) if plan.drafter else None
            tested = min(plan.length, accepted + 1)
            drafted = plan.length
            seen = Observation(option, drafted, drafted, tested, accepted, [], 0.0, 0.0, drafted, shared=True)
            controller.observe(replace(seen, telling=False))
            stand += accepted
            self._behind[at] = 0 if drafted else self._behind[at] + 1
        shared = self.controllers[0].shared
        assert shared is not None
        drafting = []
        if any(lengths):
            shared.brought("model", sum(plan.expected for plan in plans), stand)
            first = self.controllers[0]
            assert isinstance(first, CostLookahead)
            known = first.costs_of("model")
            drafting = [SharedDrafting("model", max(lengths), sum(lengths) + behind, draft_ms, *known)]
        shared.observe(len(lengths), self._rows(shared, lengths), verify_ms, *drafting, drafts=any(lengths))
        if any(lengths):
            shared.took(spent_ms, max(plan.step_ms for plan in plans), len(plans))
        self._left -= 1
        if self._left == 0:
            self._begin_texts()
        return lengths

    def _begin_texts(self) -> None:
        self._left = self.text_rounds
        for controller in self.controllers:
            controller.end()
            controller.begin()
        self._behind = [0] * len(self.alphas)

    def _accepts(self, at: int, place: int) -> bool:
        """As regular as can be: each place accepts its share of any stretch of rounds."""
        if self.text_rounds:
            return self._random.random() < self.alphas[at]
        owed = self._owed[at]
        owed[place] += self.alphas[at]
        accepted = owed[place] >= 1
        owed[place] -= accepted
        return accepted

    def _rows(self, shared: SharedCosts, lengths: Sequence[int]) -> int:
        return shared.passes.rows(len(lengths), len(lengths) + sum(lengths))


def company(
    alphas: Sequence[float],
    known: Calibration | None = None,
    earlier: float | None = None,
    *,
    seen_plain: bool = True,
    **how: float,
) -> Company:
    """Answers whose drafts fare so, with controllers that know nothing of that yet but how they fared `earlier`, in
    other texts; and, where it was `seen_plain`, what a step of all takes without drafts."""
    rates = [] if earlier is None else [(earlier, 1.0, 16.0)] * 8
    first = CostLookahead(SpeculativeConfig(), known or calibration(), Experience({"model/0": tuple(rates)}))
    controllers = [first, *(first.another() for _ in alphas[1:])]
    for one in controllers:
        one.begin()
    made = Company(controllers, list(alphas), **how)  # type: ignore[arg-type]
    if seen_plain:
        assert first.shared is not None
        first.shared.observe(len(alphas), len(alphas), made.time([0] * len(alphas))[1], drafts=False)
    return made
