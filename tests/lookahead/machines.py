"""Made-up machines and drafters whose best lookahead is known, for the cost controller to find. No model, no clock."""

import random
from dataclasses import replace

from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.plan import LookaheadController, Observation, Option, Plan

MODEL = Option("model", 8)
PLAIN = Observation(None, 0, 0, 0, 0, (), 0.0, 1.0)
SLOW_PLAIN = Observation(None, 0, 0, 0, 0, (), 0.0, 88.0)
FLAT = [30.0] * 9
PROPORTIONAL = [30.0 * width for width in range(1, 10)]
OPENBLAS = [88.0, 106, 110, 113, 120, 126, 128, 131, 134]
STEP = [30.0] * 4 + [60.0] * 5
EPYC = [40.4, 49.9, 57.8, 64.3, 68.1, 69.9, 72.6, 72.6, 81.4, 95.0, 101.0, 106.8, 107.0, 107.0, 108.0, 76.3]
"""Milliseconds of passes over 1 to 16 rows, measured: sixteen rows are cheaper than nine."""
MACHINES = [
    (FLAT, 1.0, 0.8),
    (FLAT, 3.0, 0.5),
    (FLAT, 15.0, 0.3),
    (PROPORTIONAL, 1.0, 0.8),
    (PROPORTIONAL, 15.0, 0.3),
    (OPENBLAS, 1.0, 0.8),
    (OPENBLAS, 15.0, 0.3),
    (OPENBLAS, 5.0, 0.9),
    (STEP, 1.0, 0.8),
    (STEP, 15.0, 0.3),
]
SEEDS = range(12)


def round_of(tested: int, accepted: int, ratio: float = 1.0) -> Observation:
    return Observation(MODEL, tested, tested, tested, accepted, [ratio] * tested, 0.1, 1.0, tested)


def length(chooser: LookaheadController, room: int = 100) -> int:
    return chooser.plan([MODEL], room).length


class Machine:
    """Rounds with given times and acceptance; 3 % of noise on every time.

    Acceptance is a coin toss, or, with `even`, as regular as can be: each place in the chain accepts its share of any
    stretch of rounds.
    """

    def __init__(
        self,
        verify_ms: list[float],
        draft_ms: float,
        alpha: float,
        seed: int = 0,
        *,
        even: bool = False,
        reading_ms: float = 0.0,
    ) -> None:
        self.verify_ms, self.draft_ms, self.alpha, self.reading_ms = verify_ms, draft_ms, alpha, reading_ms
        self._behind = 0
        self._random = random.Random(seed)
        self._owed = [0.5] * 9 if even else None
        self.tokens = self.spent_ms = 0.0

    def run(self, chooser: CostLookahead, rounds: int) -> list[int]:
        lengths = []
        self.tokens = self.spent_ms = 0.0
        for _ in range(rounds):
            model = replace(MODEL, behind=self._behind if self.reading_ms else 0)
            drafted = chooser.plan([model], 100).length
            accepted = 0
            while accepted < drafted and self._accepts(accepted):
                accepted += 1
            reading_ms = self.reading_ms * self._behind if drafted else 0.0
            rows = chooser.rows(drafted + 1)
            draft_ms, verify_ms = self.draft_ms * drafted + reading_ms, self.verify_ms[rows - 1]
            self._behind = 0 if drafted else self._behind + 1
            noisy = [ms * self._random.gauss(1.0, 0.03) for ms in (draft_ms, verify_ms)]
            tested = min(drafted, accepted + 1)
            option = model if drafted else None
            round_ = Observation(option, drafted, drafted, tested, accepted, [], *noisy, drafted)
            chooser.observe(replace(round_, padded=rows - drafted - 1))
            lengths.append(drafted)
            self.tokens += self.rate(drafted) * (draft_ms - reading_ms + verify_ms)
            self.spent_ms += draft_ms + verify_ms
        return lengths

    def _accepts(self, place: int) -> bool:
        if self._owed is None:
            return self._random.random() < self.alpha
        self._owed[place] += self.alpha
        accepted = self._owed[place] >= 1
        self._owed[place] -= accepted
        return accepted

    def rate(self, drafted: int) -> float:
        """Expected tokens a millisecond."""
        tokens = sum(self.alpha**i for i in range(drafted + 1))
        return tokens / (self.draft_ms * drafted + min(self.verify_ms[drafted:]))

    @property
    def best(self) -> float:
        return max(self.rate(drafted) for drafted in range(9))


class Drafters:
    """Some drafters side by side, by name: what a step takes, what a token to catch up on takes, and how often a token
    is accepted."""

    def __init__(self, drafters: dict[str, tuple[float, float, float]], seed: int) -> None:
        self._drafters, self._random = drafters, random.Random(seed)
        self._behind = dict.fromkeys(drafters, 0)

    def answer(self, chooser: CostLookahead, verify_ms: list[float], tokens: int) -> float:
        """Milliseconds for an answer, over those of plain decoding."""
        spent = done = 0.0
        while done < tokens:
            plan = chooser.plan([Option(name, 8, behind=behind) for name, behind in self._behind.items()], 100)
            option = Option(plan.drafter, 8, behind=self._behind[plan.drafter]) if plan.drafter else None
            step_ms, reading_ms, alpha = self._drafters[plan.drafter] if plan.drafter else (0.0, 0.0, 0.0)
            accepted = 0
            while accepted < plan.length and self._random.random() < alpha:
                accepted += 1
            draft_ms = step_ms * plan.length + reading_ms * (option.behind if option else 0)
            draft_ms, took_ms = (ms * self._random.gauss(1.0, 0.03) for ms in (draft_ms, verify_ms[plan.length]))
            asked, tested = plan.length, min(plan.length, accepted + 1)
            chooser.observe(Observation(option, asked, asked, tested, accepted, [], draft_ms, took_ms, asked))
            self._behind = {name: behind + accepted + 1 for name, behind in self._behind.items()}
            self._behind |= {plan.drafter: 0} if plan.drafter else {}
            spent += draft_ms + took_ms
            done += accepted + 1
        return spent / done / verify_ms[0]


def settled(chooser: CostLookahead, *options: Option) -> Plan:
    """What is planned when no try is due: the plan after a plan."""
    chooser.plan(options, 100)
    return chooser.plan(options, 100)


def loss_after(chooser: CostLookahead, machine: Machine, rounds: int = 60) -> float:
    """How much slower than the best fixed length the next rounds are, tries included."""
    machine.run(chooser, rounds)
    return 1 - machine.tokens / machine.spent_ms / machine.best


def rounds_to_a_try(chooser: CostLookahead, behind: int = 0) -> int:
    """How many plain rounds are planned before the next draft."""
    for rounds in range(1000):
        if chooser.plan([replace(MODEL, behind=behind)], 100).length:
            return rounds
        chooser.observe(SLOW_PLAIN)
    return 1000
