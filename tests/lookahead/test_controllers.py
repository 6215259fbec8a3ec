"""Controllers, the costs they learn, and Leviathan's theorem."""

import itertools
import random
from collections import Counter
from dataclasses import replace

import pytest

from mlx_spec.config import SpeculativeConfig
from mlx_spec.lookahead.controllers import CostLookahead, controller
from mlx_spec.lookahead.costs import Calibration, DraftTimes, VerifyTimes, expected_round
from mlx_spec.lookahead.experience import Experience
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.lookahead.odds import PriorDiscount, Rate
from mlx_spec.lookahead.plan import LookaheadController, Observation, Option, Plan
from mlx_spec.lookahead.theory import expected_speedup, should_use_speculative
from mlx_spec.lookahead.threshold import ThresholdLookahead

MODEL = Option("model", 8)
PLAIN = Observation(None, 0, 0, 0, 0, (), 0.0, 1.0)
SLOW_PLAIN = Observation(None, 0, 0, 0, 0, (), 0.0, 88.0)


def round_of(tested: int, accepted: int, ratio: float = 1.0) -> Observation:
    return Observation(MODEL, tested, tested, tested, accepted, [ratio] * tested, 0.1, 1.0, tested)


def length(chooser: LookaheadController, room: int = 100) -> int:
    return chooser.plan([MODEL], room).length


def observed(rounds: list[tuple[int, int]]) -> list[int]:
    """Lengths after each (tested, accepted), with p/q of 1."""
    adaptive = ThresholdLookahead(SpeculativeConfig())
    lengths = []
    for tested, accepted in rounds:
        adaptive.observe(round_of(tested, accepted))
        lengths.append(length(adaptive))
    return lengths


def test_full_acceptance_lengthens_to_the_maximum() -> None:
    assert observed([(4, 4)] * 6) == [5, 6, 7, 8, 8, 8]


def test_rejections_shorten_to_the_minimum() -> None:
    assert observed([(1, 0)] * 4) == [3, 2, 2, 2]


def test_between_the_thresholds_the_length_stays() -> None:
    assert observed([(4, 3)] * 5) == [4] * 5


def test_the_first_length_is_within_the_bounds_and_the_room() -> None:
    assert length(ThresholdLookahead(SpeculativeConfig(lookahead=12))) == 8
    assert length(ThresholdLookahead(SpeculativeConfig(lookahead=1))) == 2
    for chooser in (FixedLookahead(6), ThresholdLookahead(SpeculativeConfig()), CostLookahead(SpeculativeConfig())):
        assert length(chooser, room=1) <= 1
        assert length(chooser, room=0) == 0
        assert chooser.plan([], 100).length == 0


def test_a_hopeless_draft_is_parked_and_probed() -> None:
    adaptive = ThresholdLookahead(SpeculativeConfig())
    for _ in range(8):
        adaptive.observe(round_of(1, 0, 0.01))
    lengths = []
    for _ in range(32):
        plan = adaptive.plan([MODEL], 100)
        assert plan.parked == (plan.length == 0)
        lengths.append(plan.length)
        adaptive.observe(round_of(1, 0, 0.01) if plan.length else PLAIN)
    assert lengths == ([0] * 15 + [2]) * 2
    while not length(adaptive):
        adaptive.observe(PLAIN)
    adaptive.observe(round_of(2, 2, 0.95))
    assert length(adaptive) >= 2
    adaptive.observe(round_of(1, 0, 0.01))  # one poor round is no full window
    assert length(adaptive) >= 2


def test_controller_follows_the_configuration() -> None:
    assert isinstance(controller(SpeculativeConfig()), CostLookahead)
    assert isinstance(controller(SpeculativeConfig(controller="threshold")), ThresholdLookahead)
    fixed = controller(SpeculativeConfig(lookahead=6, adaptive_lookahead=False))
    fixed.observe(round_of(6, 0, 0.0))
    assert isinstance(fixed, FixedLookahead)
    assert length(fixed) == 6


def test_fixed_and_threshold_take_the_first_drafter_that_has_something_to_say() -> None:
    options = [Option("model", 0), Option("ngram", 3)]
    for chooser in (FixedLookahead(6), ThresholdLookahead(SpeculativeConfig(lookahead=6))):
        assert (chooser.plan(options, 100).drafter, chooser.plan(options, 100).length) == ("ngram", 3)


# A made-up clock: the cost controller against machines whose optimum is known.

FLAT = [30.0] * 9
PROPORTIONAL = [30.0 * width for width in range(1, 10)]
OPENBLAS = [88.0, 106, 110, 113, 120, 126, 128, 131, 134]
STEP = [30.0] * 4 + [60.0] * 5


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


def settled(chooser: CostLookahead, *options: Option) -> Plan:
    """What is planned when no try is due: the plan after a plan."""
    chooser.plan(options, 100)
    return chooser.plan(options, 100)


def loss_after(chooser: CostLookahead, machine: Machine, rounds: int = 60) -> float:
    """How much slower than the best fixed length the next rounds are, tries included."""
    machine.run(chooser, rounds)
    return 1 - machine.tokens / machine.spent_ms / machine.best


def usual(lengths: list[int]) -> int:
    return Counter(lengths).most_common(1)[0][0]


@pytest.mark.parametrize(("verify_ms", "draft_ms", "alpha"), MACHINES)
def test_the_optimum_is_found_in_thirty_rounds(verify_ms: list[float], draft_ms: float, alpha: float) -> None:
    losses = shares = 0.0
    for seed in SEEDS:
        even = Machine(verify_ms, draft_ms, alpha, seed, even=True)
        chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(verify_ms), draft_ms))
        even.run(chooser, 30)
        shares += even.rate(usual(even.run(chooser, 20))) / even.best
        # Where acceptance is a coin toss, thirty rounds cannot tell 0.80 from 0.75: the mean has to do.
        tossed = Machine(verify_ms, draft_ms, alpha, seed)
        chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(verify_ms), draft_ms))
        tossed.run(chooser, 30)
        losses += loss_after(chooser, tossed)
    assert shares / len(SEEDS) >= 0.99
    assert losses / len(SEEDS) < 0.03


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((FLAT, 3.0, 0.8), (FLAT, 3.0, 0.1)),
        ((FLAT, 3.0, 0.1), (FLAT, 3.0, 0.9)),
        ((FLAT, 3.0, 0.8), (PROPORTIONAL, 3.0, 0.8)),
    ],
    ids=["acceptance falls", "acceptance rises", "passes become dear"],
)
def test_a_change_is_followed_in_thirty_rounds(
    before: tuple[list[float], float, float], after: tuple[list[float], float, float]
) -> None:
    losses = 0.0
    for seed in SEEDS:
        chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(before[0]), before[1]))
        Machine(*before, seed).run(chooser, 60)
        machine = Machine(*after, seed + 1000)
        machine.run(chooser, 30)
        losses += loss_after(chooser, machine)
    assert losses / len(SEEDS) < 0.08


@pytest.mark.parametrize(("verify_ms", "draft_ms", "alpha"), MACHINES)
def test_it_does_not_swing(verify_ms: list[float], draft_ms: float, alpha: float) -> None:
    """A try is two changes; beside those it should hardly ever change its mind for good."""
    changes = 0
    for seed in SEEDS:
        chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(verify_ms), draft_ms))
        machine = Machine(verify_ms, draft_ms, alpha, seed)
        machine.run(chooser, 60)
        lengths = machine.run(chooser, 60)
        changes += sum(a != b for a, b in itertools.pairwise(lengths))
    assert changes / len(SEEDS) / 60 < 0.25


@pytest.mark.parametrize(("verify_ms", "draft_ms", "alpha"), [m for m in MACHINES if m[0] is not STEP])
def test_it_learns_from_the_rounds_alone(verify_ms: list[float], draft_ms: float, alpha: float) -> None:
    """But for a step in the costs, which a straight line through two widths cannot know; a calibration does."""
    losses = 0.0
    for seed in SEEDS:
        chooser = CostLookahead(SpeculativeConfig())
        machine = Machine(verify_ms, draft_ms, alpha, seed)
        machine.run(chooser, 30)
        losses += loss_after(chooser, machine)
    assert losses / len(SEEDS) < 0.08


def test_tries_while_parked_cost_at_most_a_hundredth() -> None:
    spent = plain = 0.0
    for seed in SEEDS:
        chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(PROPORTIONAL), 15.0))
        machine = Machine(PROPORTIONAL, 15.0, 0.05, seed)
        machine.run(chooser, 512)
        spent += machine.spent_ms
        plain += machine.tokens * PROPORTIONAL[0]
    assert plain / spent > 0.985


@pytest.mark.parametrize(("alpha", "at_least", "at_most"), [(0.3, 10, 30), (0.9, 0, 3)])
def test_the_less_a_draft_brings_the_oftener_a_plain_step_is_measured(
    alpha: float, at_least: int, at_most: int
) -> None:
    """Wide passes alone do not tell what they add to a plain one; a debt of dear tries is no reason not to look."""
    chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(OPENBLAS), 1.0))
    machine = Machine(OPENBLAS, 1.0, alpha, even=True)
    machine.run(chooser, 60)
    for _ in range(60):
        asked = (plan := chooser.plan([MODEL], 100)).length
        dear = 1e4 if asked and plan.reason.startswith("a try") else 1.0
        chooser.observe(Observation(MODEL, asked, asked, asked, 1, [], dear, OPENBLAS[asked], asked))
        if dear > 1.0:
            break
        machine.run(chooser, 1)
    machine.run(chooser, 60)
    plain_steps = machine.run(chooser, 240).count(0)
    assert at_least <= plain_steps <= at_most
    assert machine.tokens / machine.spent_ms > 0.985 * machine.best


def test_a_draft_that_fell_behind_the_text_comes_back() -> None:
    """To read a token costs more than may be spent on tries for it: that must not keep a draft parked for good."""
    parked = lasting = 0.0
    for seed in SEEDS:
        chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(OPENBLAS), 8.0, 1.3))
        machine = Machine(OPENBLAS, 8.0, 0.05, seed, reading_ms=1.3)
        machine.run(chooser, 60)
        parked += loss_after(chooser, machine, 400) / len(SEEDS)
        machine.alpha = 0.8
        machine.run(chooser, 60)
        lasting += loss_after(chooser, machine, 100) / len(SEEDS)
    assert parked < 0.03
    assert lasting < 0.1


def test_a_shadow_proposal_ends_the_parking_of_a_drafter_that_costs_nothing() -> None:
    chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(OPENBLAS)))
    ngram = Option("ngram", 8, trust=1)
    for _ in range(12):
        chooser.observe(SLOW_PLAIN)
        chooser.observe_shadow(ngram, 1, 0)
    assert settled(chooser, ngram).parked
    for _ in range(8):
        chooser.observe(SLOW_PLAIN)
        chooser.observe_shadow(ngram, 1, 1)
    plan = settled(chooser, ngram)
    assert (plan.drafter, plan.length > 0) == ("ngram", True)
    assert "x plain expected" in plan.reason


def test_the_better_of_two_drafters_is_taken() -> None:
    chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(FLAT), 5.0))
    ngram = Option("ngram", 8)
    for _ in range(20):
        chooser.observe(Observation(MODEL, 4, 4, 1, 0, [], 20.0, 30.0, 4))
        chooser.observe(Observation(ngram, 8, 8, 8, 7, [], 0.1, 30.0))
    assert settled(chooser, MODEL, ngram).drafter == "ngram"
    assert settled(chooser, MODEL).drafter is None


def test_improbable_drafts_are_parked_whatever_they_cost() -> None:
    chooser = CostLookahead(SpeculativeConfig(min_acceptance_ratio=0.5), Calibration(tuple(FLAT), 0.1))
    for _ in range(20):
        chooser.observe(Observation(MODEL, 4, 4, 2, 1, [0.2, 0.2], 0.4, 30.0, 4))
    assert settled(chooser, MODEL).parked


EPYC = [40.4, 49.9, 57.8, 64.3, 68.1, 69.9, 72.6, 72.6, 81.4, 95.0, 101.0, 106.8, 107.0, 107.0, 108.0, 76.3]
"""Milliseconds of passes over 1 to 16 rows, measured: sixteen rows are cheaper than nine."""


def test_more_rows_never_cost_more_than_a_wider_pass() -> None:
    """The cost of n rows is the least cost of any width of at least n: a pass may be padded."""
    times = VerifyTimes(Calibration(tuple(EPYC)))
    assert [times.rows(width) for width in (1, 2, 8, 9, 10, 12, 15, 16)] == [1, 2, 8, 16, 16, 16, 16, 16]
    assert times.at(12) == times.at(16) == pytest.approx(76.3)
    costs = [times.at(width) for width in range(1, 17)]
    assert costs == sorted(costs)
    assert times.rows(17) == 17, "nobody measured what is wider"


def test_a_width_that_nobody_measured_is_padded_to_one_that_was() -> None:
    curve = [10.0, 12.0, 14.0, *[20.0] * 5, *[22.0] * 4]
    times = VerifyTimes(Calibration(tuple(curve), measured=(1, 2, 3, 8)))
    assert [times.rows(width) for width in (1, 2, 3, 4, 7, 8, 9, 12)] == [1, 2, 3, 8, 8, 8, 9, 12]
    for _ in range(40):  # dearer rows tilt the curve: what was not measured is padded all the same
        times.observe(3, 24.0)
        times.observe(1, 10.0)
    assert times.rows(5) == 8


def test_a_plain_step_is_never_padded_and_noise_is_no_reason_to() -> None:
    times = VerifyTimes(Calibration((40.0, 38.0, 50.0, 49.5)))
    assert (times.rows(1), times.rows(2), times.rows(3)) == (1, 2, 3)


def test_what_the_rounds_show_of_a_padded_pass_counts_for_its_own_width() -> None:
    times = VerifyTimes(Calibration(tuple(EPYC)))
    for _ in range(40):
        times.observe(1, 40.4)
        times.observe(16, 140.0)
    assert times.rows(9) == 9
    assert times.at(16) == pytest.approx(140.0, rel=0.02)


def test_a_calibration_from_a_busy_machine_is_corrected_within_an_answer() -> None:
    """It said 63 ms for one row and 134 for two where quiet says 40 and 50: believed, that parks a draft that pays."""
    busy = Calibration(tuple(63.0 + 71.0 * i for i in range(9)), 5.0, disturbance=0.5)
    gained = 0.0
    for seed in SEEDS:
        chooser = CostLookahead(SpeculativeConfig(), busy)
        machine = Machine(EPYC, 2.0, 0.7, seed)
        losses = loss_after(chooser, machine, 60)
        gained += (1 - losses) / len(SEEDS)
    assert gained > 0.95


def test_one_stall_of_the_machine_is_no_new_cost() -> None:
    times = VerifyTimes(Calibration(tuple(FLAT)))
    for _ in range(10):
        times.observe(5, 30.0)
    times.observe(5, 3000.0)
    assert times.at(5) < 45
    for _ in range(20):
        times.observe(5, 60.0)
    assert times.at(5) == pytest.approx(60, rel=0.05)


@pytest.mark.parametrize("slower", [1.4, 1.8, 2.5])
def test_a_machine_that_was_busy_for_two_rounds_parks_nothing(slower: float) -> None:
    """They were wide passes: were the slowness taken for the price of width, none would be made again."""
    quiet, losses = [55.0 + 7 * i for i in range(9)], 0.0
    for seed in SEEDS:
        chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(quiet), 3.0, 0.3))
        machine = Machine(quiet, 3.0, 0.35, seed)
        machine.run(chooser, 10)
        machine.verify_ms = [slower * ms for ms in quiet]
        machine.run(chooser, 2)
        machine.verify_ms = quiet
        losses += loss_after(chooser, machine, 64) / len(SEEDS)
    assert losses < 0.04


def test_a_pass_that_had_its_graph_built_says_nothing_of_the_next() -> None:
    chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(FLAT)))
    for _ in range(4):
        chooser.observe(replace(PLAIN, verify_ms=90.0, telling=False))
    assert chooser.plain_step_ms == 30.0
    chooser.observe(replace(PLAIN, verify_ms=40.0))
    assert chooser.plain_step_ms != 30.0


def test_a_rate_gives_up_its_past_when_the_text_changes() -> None:
    rate = Rate()
    for _ in range(60):
        rate.observe(True)
    for _ in range(8):
        rate.observe(False)
    assert rate.mean < 0.5


@pytest.mark.parametrize(("before", "after"), [(0.3, 0.85), (0.9, 0.1)])
def test_another_answer_is_judged_by_itself(before: float, after: float) -> None:
    """Forty rounds are an answer of a hundred words: too short to unlearn the text before it."""
    losses = {True: 0.0, False: 0.0}
    for begins, seed in itertools.product(losses, SEEDS):
        chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(OPENBLAS), 8.0))
        Machine(OPENBLAS, 8.0, before, seed).run(chooser, 100)
        if begins:
            chooser.begin()
        losses[begins] += loss_after(chooser, Machine(OPENBLAS, 8.0, after, seed + 1000), 40) / len(SEEDS)
    assert losses[True] < 0.12
    assert losses[True] < 0.75 * losses[False]


@pytest.mark.parametrize("accepted", [0.05, 0.15, 0.4])
def test_what_a_long_text_costs_is_not_laid_on_the_next(accepted: float) -> None:
    """Behind 4,000 tokens passes take twice as long, wide ones and drafts more than that."""
    short, long = [55.0 + 9 * i for i in range(9)], [100.0 + 27 * i for i in range(9)]
    losses = 0.0
    for seed in SEEDS:
        chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(short), 3.0, 0.3))
        Machine(short, 3.0, 0.35, seed).run(chooser, 60)
        chooser.begin()
        Machine(long, 10.0, accepted, seed + 100, reading_ms=1.2).run(chooser, 64)
        chooser.begin()
        losses += loss_after(chooser, Machine(short, 3.0, 0.45, seed + 1000, reading_ms=0.3), 64) / len(SEEDS)
    assert losses < 0.025


def test_a_dear_try_is_not_paid_for_by_the_next_answer() -> None:
    """A draft that read 4,000 tokens for one vain try would have to save up for thousands of rounds."""
    chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(OPENBLAS), 8.0))
    for _ in range(12):
        chooser.begin()
        for _ in range(10):
            chooser.observe(Observation(MODEL, 1, 1, 1, 0, [], 8.0, OPENBLAS[1], 1))
    assert rounds_to_a_try(chooser) < 60
    chooser.observe(Observation(MODEL, 1, 1, 1, 0, [], 5000.0, OPENBLAS[1], 1))
    chooser.begin()
    assert rounds_to_a_try(chooser) < 60


def test_a_long_prompt_is_not_read_for_a_try() -> None:
    """4,000 tokens at 1 % of a step each are forty steps."""
    chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(OPENBLAS), 8.0, 0.9))
    for _ in range(60):
        chooser.observe(Observation(MODEL, 1, 1, 1, 0, [], 8.0, OPENBLAS[1], 1))
    assert rounds_to_a_try(chooser, behind=100) < 100
    chooser.observe(Observation(MODEL, 1, 1, 1, 0, [], 8.0, OPENBLAS[1], 1))
    assert rounds_to_a_try(chooser, behind=4000) == 1000


def test_a_long_prompt_is_not_read_for_a_try_at_a_price_that_nobody_knows() -> None:
    """A head's reading is not calibrated: a try shows what it takes, and not with two thousand tokens."""
    chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(OPENBLAS), 8.0))
    for _ in range(60):
        chooser.observe(Observation(MODEL, 1, 1, 1, 0, [], 8.0, OPENBLAS[1], 1))
    assert rounds_to_a_try(chooser, behind=2048) == 1000
    assert rounds_to_a_try(chooser, behind=100) < 100
    chooser.observe(Observation(replace(MODEL, behind=100), 1, 1, 1, 0, [], 18.0, OPENBLAS[1], 1))
    assert rounds_to_a_try(chooser, behind=200) < 200


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


@pytest.mark.parametrize(("accepted", "slower"), [(0.05, 1.05), (0.18, 1.05), (0.5, 0.93)])
def test_a_long_text_that_is_hard_for_all_drafters(accepted: float, slower: float) -> None:
    """Behind 4,000 tokens, an answer of a hundred words."""
    short, long = [55.0 + 9 * i for i in range(9)], [100.0 + 27 * i for i in range(9)]
    mean = 0.0
    for seed in SEEDS:
        chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(short), 5.0, 0.26))
        drafters = {"eagle": (3.0, 0.05, accepted), "model": (9.0, 0.4, accepted), "medusa": (1.0, 0.0, accepted)}
        chooser.begin()
        mean += Drafters(drafters, seed).answer(chooser, long, 96) / len(SEEDS)
    assert mean < slower


def test_a_drafter_is_not_given_up_because_another_fails() -> None:
    mean = 0.0
    for seed in SEEDS:
        chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(OPENBLAS), 8.0, 0.3))
        drafters = {"eagle": (3.0, 0.05, 0.05), "model": (8.0, 0.3, 0.8)}
        mean += Drafters(drafters, seed).answer(chooser, OPENBLAS, 96) / len(SEEDS)
    assert mean < 0.8


def test_what_others_have_shown_counts_for_a_drafter_that_was_tried_itself() -> None:
    discount = PriorDiscount()
    for _ in range(8):
        discount.observe("eagle", False, 0.5)
    assert discount.of("model") == discount.of("eagle") == 1.0
    for _ in range(2):
        discount.observe("model", True, 0.5)
    assert 0.3 < discount.of("model") < 0.7
    assert discount.of("eagle") == 1.0
    discount.begin()
    assert discount.of("model") == 1.0


def test_a_first_draft_that_had_to_be_built_is_no_price() -> None:
    """Its drafter would never be asked again."""
    times = DraftTimes(0.0)
    times.observe(1, 0, 120.0)
    times.observe(1, 0, 3.0)
    assert times.at(1) == 3.0
    times.observe(1, 0, 5.0)
    assert 3.0 < times.at(1) < 5.0


def test_what_it_takes_to_read_a_text_is_learnt_where_nobody_calibrated_it() -> None:
    times = DraftTimes(0.0)
    times.observe(1, 99, 200.0)  # with a graph that was built in it
    assert times.at(1, 50) == 100.0
    times.observe(1, 0, 3.0)
    times.observe(1, 0, 3.0)
    times.observe(2, 50, 31.0)
    assert times.at(1) == 3.0
    assert times.at(1, 100) == 53.0
    times.observe(1, 50, 500.0)
    assert times.at(1, 100) == 53.0, "one stall is no price"


def test_after_a_surprise_a_plain_step_is_measured_until_one_is() -> None:
    """One that had its graph built tells nothing, and wide passes alone do not say what of their price is width."""
    chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(OPENBLAS), 1.0))
    for _ in range(10):
        chooser.observe(Observation(MODEL, 2, 2, 2, 2, [], 2.0, OPENBLAS[2], 2))
    for _ in range(3):
        chooser.observe(Observation(MODEL, 2, 2, 2, 2, [], 2.0, 2 * OPENBLAS[2], 2))
    plain = replace(PLAIN, verify_ms=2 * OPENBLAS[0])
    for _ in range(2):
        assert chooser.plan([MODEL], 100).length == 0
        chooser.observe(replace(plain, telling=False))
    assert chooser.plan([MODEL], 100).length == 0
    chooser.observe(plain)
    assert chooser.plan([MODEL], 100).length > 0


def rounds_to_a_try(chooser: CostLookahead, behind: int = 0) -> int:
    """How many plain rounds are planned before the next draft."""
    for rounds in range(1000):
        if chooser.plan([replace(MODEL, behind=behind)], 100).length:
            return rounds
        chooser.observe(SLOW_PLAIN)
    return 1000


def test_a_new_process_begins_where_the_last_one_ended() -> None:
    """Which drafter fares better, how far it looks and what it takes: known from the first round on."""
    calibration = Calibration(tuple(OPENBLAS), 8.0, 0.3)
    drafters = {"eagle": (3.0, 0.05, 0.75), "model": (8.0, 0.3, 0.35)}
    before = CostLookahead(SpeculativeConfig(), calibration)
    for seed in range(4):
        before.begin()
        Drafters(drafters, seed).answer(before, OPENBLAS, 96)
    after = CostLookahead(SpeculativeConfig(), calibration, before.experience)
    options = [Option("model", 8), Option("eagle", 8)]
    first = after.plan(options, 100)
    assert (first.drafter, first.length >= 3) == ("eagle", True)
    unknown = CostLookahead(SpeculativeConfig(), calibration).plan(options, 100)
    assert (unknown.drafter, unknown.length) != (first.drafter, first.length)


def test_what_is_usual_is_where_another_answer_begins() -> None:
    """A drafter that never paid is not tried at length again with each answer."""
    losses = 0.0
    for seed in SEEDS:
        chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(OPENBLAS), 8.0))
        for answer in range(16):
            chooser.begin()
            loss = loss_after(chooser, Machine(OPENBLAS, 8.0, 0.1, 100 * seed + answer), 30)
            losses += loss / len(SEEDS) / 8 if answer >= 8 else 0.0
    assert losses < 0.03


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_expected_round_is_the_theorem_where_passes_cost_the_same(alpha: float) -> None:
    times = VerifyTimes(Calibration(tuple([10.0] * 9)))
    tokens, milliseconds = expected_round(times, 4 * 2.0, [(1.0, alpha)] * 4)
    assert tokens / milliseconds * 10.0 == pytest.approx(expected_speedup(alpha, 4, 0.2))


def test_expected_round_counts_drafts_that_end_early() -> None:
    times = VerifyTimes(Calibration((10.0, 20.0, 30.0)))
    tokens, milliseconds = expected_round(times, 0.0, [(1.0, 0.5), (0.5, 0.5)])
    assert tokens == pytest.approx(1 + 0.5 + 0.5 * 0.25)
    assert milliseconds == pytest.approx(0.5 * 20 + 0.5 * 30)


@pytest.mark.parametrize(
    ("alpha", "gamma", "cost", "expected"),
    [(0.0, 4, 0.0, 1.0), (1.0, 4, 0.0, 5.0), (0.5, 1, 0.0, 1.5), (0.8, 5, 0.1, 2.45952), (0.5, 3, 1.0, 0.46875)],
)
def test_expected_speedup_is_theorem_3_8(alpha: float, gamma: int, cost: float, expected: float) -> None:
    assert expected_speedup(alpha, gamma, cost) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("cost", [0.0, 0.05, 0.2, 0.59, 0.9])
def test_speculation_pays_where_drafts_are_accepted_more_often_than_they_cost(alpha: float, cost: float) -> None:
    assert should_use_speculative(alpha, cost) == (alpha > cost)


def test_the_rows_of_the_passes_to_come_are_foreseen() -> None:
    """Their graphs are built while the prompt is read."""
    sure = Experience({"model/0": ((0.97, 1.0, 16.0),) * 8})
    unsure = Experience({"model/0": ((0.97, 1.0, 16.0), (0.8, 0.4, 16.0), (0.8, 0.4, 16.0))})
    calibration = Calibration(tuple(OPENBLAS), 5.0)
    whole, early = (CostLookahead(SpeculativeConfig(), calibration, known) for known in (sure, unsure))
    drafted = settled(whole, MODEL).length
    assert whole.likely_rows([MODEL], 100)[0] == drafted + 1
    assert whole.likely_rows([MODEL], 100)[-1] == 1
    assert early.likely_rows([MODEL], 100)[:2] == [2, 3], "it ends where it grows unsure"
    assert FixedLookahead(4).likely_rows([MODEL], 100) == (5,)
    assert CostLookahead(SpeculativeConfig(), Calibration(tuple(EPYC), 0.1), sure).likely_rows([MODEL], 100)[0] == 16
