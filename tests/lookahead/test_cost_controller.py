"""The cost controller against artificial machines whose optimum is known."""

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from mlx_spec.config import SpeculativeConfig
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.experience import Experience
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.lookahead.plan import Observation, Option
from tests.lookahead.machines import (
    EPYC,
    FLAT,
    MACHINES,
    MODEL,
    OPENBLAS,
    PLAIN,
    PROPORTIONAL,
    SEEDS,
    SLOW_PLAIN,
    STEP,
    Drafters,
    Machine,
    loss_after,
    settled,
)


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
