"""How far all answers of a step draft, by the costs of a machine whose best is known. No clock."""

from dataclasses import replace

import pytest

from mlx_spec.acceptance.tree import Shape
from mlx_spec.config import SpeculativeConfig
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.lookahead.plan import Observation, Option
from mlx_spec.lookahead.together import Wish, expects_to_draft, plan_together
from tests.lookahead.company import MODEL, STARTER, calibration, company

COUNTS = (2, 4, 8, 16)
# By answers: the drafted tokens in all at odds of 0.2, 0.5 and 0.9 for each place, drafts costing 6 ms a level.
CHOSEN = {2: (0, 2, 14), 4: (0, 12, 12), 8: (8, 8, 24), 16: (0, 0, 16)}


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("at", "alpha"), [(0, 0.2), (1, 0.5), (2, 0.9)])
def test_on_the_starters_curve(count: int, at: int, alpha: float) -> None:
    known = company([alpha] * count, earlier=alpha)
    known.learn(60)
    assert sum(plan.length for plan in known.plans()) == CHOSEN[count][at]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("alpha", [0.2, 0.4, 0.6, 0.8, 0.9])
def test_it_is_hardly_behind_the_best_fixed_length_and_never_behind_none(count: int, alpha: float) -> None:
    """The costs are learnt meanwhile, trials included. Each further answer takes 0.8 ms that nobody was told of."""
    machine = company([alpha] * count, earlier=alpha, answer_ms=0.8)
    machine.run(30)
    machine.run(120)
    assert machine.reached > 0.97 * machine.best_fixed()
    assert machine.reached > 0.98 * machine.plain


@pytest.mark.parametrize(("alpha", "row_ms"), [(0.3, 3.0), (0.5, 6.0)])
def test_drafts_that_seem_to_pay_and_do_not_are_found_out(alpha: float, row_ms: float) -> None:
    """Each drafted row takes more than was measured. While all draft, only a plain step can tell that it is not all
    rows: without one they drafted for ever, at 0.90 and 0.86 of plain decoding."""
    machine = company([alpha] * 8, earlier=alpha, answer_ms=0.8, row_ms=row_ms, text_rounds=24)
    machine.run(60)
    machine.run(100)
    assert machine.rate([1] * 8) < 0.92 * machine.plain
    assert machine.reached > 0.98 * machine.plain


@pytest.mark.parametrize("alpha", [0.3, 0.5, 0.6, 0.8])
@pytest.mark.parametrize("uncounted_ms", [10.0, 25.0, 60.0])
def test_what_no_pass_shows_is_found_out_by_whole_steps(alpha: float, uncounted_ms: float) -> None:
    """As where the host plans and builds while nothing is computed: a third of a step, with eight answers."""
    machine = company([alpha] * 8, earlier=alpha, answer_ms=0.8, uncounted_ms=uncounted_ms)
    machine.run(60)
    machine.run(200)
    assert machine.reached > 0.98 * machine.plain
    assert machine.reached > 0.96 * machine.best_fixed()


def test_of_a_new_number_of_answers_a_plain_step_is_seen_first() -> None:
    """Else drafts would be weighed against a step that nobody has seen, for as long as they seem to pay."""
    machine = company([0.9] * 8, earlier=0.9, seen_plain=False)
    assert [any(lengths) for lengths in machine.run(3)] == [False, True, True]


def test_where_drafts_do_not_pay_all_are_parked_and_tried_now_and_then() -> None:
    machine = company([0.1] * 8, earlier=0.1, step_ms=30.0, known=calibration(30.0))
    machine.run(60)
    lengths = machine.run(200)
    tried = [one for one in lengths if any(one)]
    assert 1 <= len(tried) <= 20
    assert {length for one in tried for length in one} <= {0, 1}
    assert machine.reached > 0.985 * machine.plain
    parked = machine.plans()
    assert all(plan.parked and plan.drafter is None for plan in parked)
    assert "1.00x plain expected of 8 answers" in parked[0].reason


def test_who_is_never_right_gets_a_row_now_and_then_while_the_neighbour_drafts() -> None:
    machine = company([0.0, 0.9], calibration(6.0, 2.0), earlier=0.5, token_ms=2.0)
    machine.run(30)
    lengths = machine.run(60)
    assert max(first for first, _ in lengths) <= 1
    assert sum(first for first, _ in lengths) <= 0.1 * sum(second for _, second in lengths)
    drafted = [second for _, second in lengths if second]
    assert min(drafted) >= 3
    assert len(drafted) >= 57, "a plain step is looked at now and then"


def test_it_drafts_again_when_texts_become_easy() -> None:
    machine = company([0.0] * 4, earlier=0.5)
    machine.run(60)
    assert sum(map(sum, machine.run(40))) <= 8
    machine.alphas[:] = [0.9] * 4
    machine.run(150)
    machine.run(50)
    assert machine.reached > 0.95 * machine.best_fixed()


def test_a_machine_that_is_slower_than_it_was_is_learnt_from_shared_passes() -> None:
    machine = company([0.5] * 4, earlier=0.5, slower=2.5)
    machine.run(40)
    shared = machine.controllers[0].shared
    assert shared is not None
    assert shared.passes.at(4, 8) == pytest.approx(2.5 * STARTER[8], rel=0.1)
    assert machine.controllers[0].plain_step_ms == STARTER[1], "what one alone costs was not seen"


def test_a_trial_does_not_have_all_prompts_read_in_one_step() -> None:
    machine = company([0.1] * 8, calibration(30.0, 0.7), earlier=0.1, step_ms=30.0)
    machine.run(60)
    shared = machine.controllers[0].shared
    assert shared is not None
    unread = [replace(MODEL, behind=60)] * 8
    wishes = [Wish(one, [option], 100) for one, option in zip(machine.controllers, unread, strict=True)]
    tried = []
    for _ in range(12):
        shared.budget_ms = 73.0
        tried.append(sum(plan.length for plan in plan_together(wishes)))
        for one in machine.controllers:
            one.observe(Observation(None, 0, 0, 0, 0, [], 0.0, 0.0, shared=True))
    assert 1 in tried
    assert max(tried) == 1


def test_in_a_company_that_will_not_draft_no_model_reads_the_prompt_beforehand() -> None:
    """Alone it would, and among few."""
    machine = company([0.3] * 8, earlier=0.3, known=calibration(12.0))
    wish = Wish(machine.controllers[0], [MODEL], 100)
    assert [expects_to_draft(wish, answers) for answers in (4, 8, 16)] == [
        sum(plan.length for plan in company([0.3] * answers, earlier=0.3, known=calibration(12.0)).plans()) > 0
        for answers in (4, 8, 16)
    ]
    assert expects_to_draft(Wish(company([0.9] * 8, earlier=0.9).controllers[0], [MODEL], 100), 8)
    assert not expects_to_draft(wish, 16)
    unknown = Wish(CostLookahead(SpeculativeConfig()), [MODEL], 100)
    assert expects_to_draft(unknown, 8), "where nothing is known it is tried"


def test_one_alone_is_planned_by_its_own_controller() -> None:
    alone = company([0.5], earlier=0.5)
    (plan,), again = alone.plans(), company([0.5], earlier=0.5).controllers[0]
    assert plan == again.plan([MODEL], 100)


def test_fixed_lengths_and_trees_stay_and_take_their_rows() -> None:
    """Eight answers fill sixteen rows on this curve; where a tree takes ten beside them, they fill thirty-two."""
    machine = company([0.5] * 7, earlier=0.5)
    tree = FixedLookahead(3, Shape((2, 2, 1)))
    options = [MODEL] * 7 + [replace(MODEL, trees=True)]
    wishes = [Wish(one, [option], 100) for one, option in zip([*machine.controllers, tree], options, strict=True)]
    plans = plan_together(wishes)
    assert plans[7].shape == Shape((2, 2, 1))
    assert 8 + 10 + sum(plan.length for plan in plans[:7]) == 32
    short = plan_together([*wishes[:7], Wish(FixedLookahead(1), [MODEL], 100)])
    assert [plan.length for plan in short] == [1] * 8


def test_of_two_drafters_the_one_that_brings_more_is_asked() -> None:
    machine = company([0.5] * 4, earlier=0.5)
    ngram = Option("ngram", 8)
    for controller in machine.controllers:
        for _ in range(30):
            controller.observe_shadow(ngram, 8, 6)
    wishes = [Wish(controller, [MODEL, ngram], 100) for controller in machine.controllers]
    assert {plan.drafter for plan in plan_together(wishes)} == {"ngram"}


def test_room_and_limits_hold() -> None:
    machine = company([0.9] * 3, earlier=0.9)
    rooms = (0, 2, 100)
    wishes = [Wish(one, [MODEL], room) for one, room in zip(machine.controllers, rooms, strict=True)]
    lengths = [plan.length for plan in plan_together(wishes)]
    assert lengths[0] == 0
    assert lengths[1] <= 2
    assert 0 < lengths[2] <= 8


def test_a_long_text_unread_by_the_drafter_is_not_for_one_round_to_pay() -> None:
    machine = company([0.9] * 4, earlier=0.9)
    unread = [replace(MODEL, behind=behind) for behind in (0, 0, 0, 2000)]
    wishes = [Wish(one, [option], 100) for one, option in zip(machine.controllers, unread, strict=True)]
    assert [bool(plan.length) for plan in plan_together(wishes)] == [True, True, True, False]


def test_a_controller_that_knows_no_times_learns_none_from_shared_rounds() -> None:
    """Alone, it would sooner take a doubtful time than none."""
    alone = CostLookahead(SpeculativeConfig())
    for shared in (True, False):
        for _ in range(10):
            alone.observe(Observation(MODEL, 2, 2, 1, 0, [], 9.0, 70.0, 2, telling=False, shared=shared))
        assert (alone.plain_step_ms is None) is shared
        assert (alone.costs_of("model") == (0.0, 0.0)) is shared
