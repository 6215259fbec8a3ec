"""Trials: what they may cost, and when one is due."""

from dataclasses import replace

import pytest

from mlx_spec.config import SpeculativeConfig
from mlx_spec.lookahead.candidate import Candidate
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.estimator import Estimator
from mlx_spec.lookahead.exploration import Exploration
from mlx_spec.lookahead.plan import Observation
from tests.lookahead.machines import MODEL, OPENBLAS, PLAIN, PROPORTIONAL, SEEDS, Machine, loss_after, rounds_to_a_try


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


@pytest.mark.parametrize(("tokens", "at_least", "at_most"), [(1.5, 15, 21), (8.0, 4, 8)])
def test_on_a_machine_that_is_never_quiet_a_plain_step_is_measured_as_often_as_is_cheap(
    tokens: float, at_least: int, at_most: int
) -> None:
    exploration, estimator = Exploration(), Estimator(8, (), Calibration(tuple(OPENBLAS), 1.0))
    plain = Candidate(None, 0, 1.0, 40.0)
    chosen = Candidate(MODEL, 4, tokens, 60.0)
    plain_steps = 0
    for _ in range(60):
        exploration.begin_round()
        is_plain = (trial := exploration.due(chosen, [chosen], plain, estimator)) is not None and trial.option is None
        if trial is not None:
            exploration.start(instead_of=chosen)
        exploration.end_round()
        plain_steps += is_plain
        exploration.timed(1 if is_plain else 5, costs_changed=True)
    assert at_least <= plain_steps <= at_most
