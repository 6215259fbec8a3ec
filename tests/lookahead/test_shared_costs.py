"""What passes cost that several answers share: learnt from those passes, and apart from what one alone costs."""

import random

import pytest

from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.fit import Fit
from mlx_spec.lookahead.shared_costs import SharedCosts, SharedDrafting, SharedPassTimes
from tests.lookahead.company import calibration


def test_a_fit_finds_the_weights_of_a_sum() -> None:
    fit, noise = Fit((1.0, 0.0), (1.0, 1.0), 0.01), random.Random(0)
    for _ in range(200):
        terms = (noise.uniform(1, 3), noise.uniform(0, 5))
        fit.observe(terms, 2.0 * terms[0] + 0.3 * terms[1] + noise.gauss(0, 0.05), 0.05)
    assert fit.weights == pytest.approx((2.0, 0.3), abs=0.03)


def test_a_weight_at_its_least_leaves_the_rest_to_the_others() -> None:
    """Two terms that always come together: what one of them cannot be below, the other makes up for."""
    fit = Fit((6.0, 0.0), (3.0, 6.0), 0.1, 0.0)
    for _ in range(40):
        fit.observe((1.0, 2.0), 2.0, 0.1)
    assert min(fit.weights) >= 0.0
    assert fit.at((1.0, 2.0)) == pytest.approx(2.0, rel=0.03)


def test_further_answers_and_drafted_rows_are_told_apart() -> None:
    """Each further answer takes 2 ms. Were that taken for a cost of rows, drafts would look dear."""
    times, noise = SharedPassTimes(calibration()), random.Random(1)
    known = SharedPassTimes(calibration())
    for _ in range(60):
        times.observe(8, 8, (73.0 + 14.0) * noise.gauss(1, 0.02), drafts=False)
    assert times.at(8, 8) == pytest.approx(87.0, rel=0.03)
    assert times.at(8, 16) - times.at(8, 8) == pytest.approx(known.at(8, 16) - known.at(8, 8), abs=2.0)


def test_passes_are_padded_to_a_measured_width_that_is_cheaper() -> None:
    times = SharedPassTimes(calibration())
    assert [times.rows(8, rows) for rows in (8, 9, 12, 16, 17, 33)] == [8, 16, 16, 16, 24, 33]
    for _ in range(60):
        times.observe(8, 16, 160.0, drafts=True)
        times.observe(8, 12, 107.0, drafts=True)
    assert times.rows(8, 12) == 12, "what was learnt counts"


def test_wider_passes_are_drawn_on_until_they_are_measured() -> None:
    narrow = calibration()
    narrow = type(narrow)(narrow.verify_ms[:16], 6.0, 0.2, measured=(1, 2, 4, 8, 12, 16))
    times = SharedPassTimes(narrow)
    assert times.widest == 16
    assert times.at(16, 32) == pytest.approx(76.0 + 16 * 36.0 / 15)
    times.widen({12: 9.0, 24: 118 / 40, 32: 3.5})
    assert times.widest == 32
    assert (times.at(16, 16), times.at(16, 20), times.at(16, 32)) == pytest.approx((76.0, 118.0, 140.0))
    assert times.at(8, 12) == pytest.approx(76.0), "what one answer's passes told stands"


def test_a_width_between_two_that_were_measured_counts_too() -> None:
    """One answer's passes are measured up to nine rows, and at sixteen: ten would cost as much as these."""
    ms = tuple(40.0 + 5.0 * rows if rows < 10 else 120.0 for rows in range(1, 17))
    times = SharedPassTimes(Calibration(ms, 6.0, 0.2, measured=(*range(1, 10), 16)))
    assert times.at(8, 10) == times.at(8, 12) == pytest.approx(120.0)
    times.widen({10: 95 / 45, 12: 105 / 45, 14: 9.0, 16: 9.0})
    assert (times.at(8, 10), times.at(8, 12), times.at(8, 14)) == pytest.approx((95.0, 105.0, 120.0))
    assert [times.rows(8, rows) for rows in (9, 10, 11, 13)] == [9, 10, 12, 14]


def test_without_a_calibration_the_first_pass_tells() -> None:
    times = SharedPassTimes(None)
    assert not times.known
    times.observe(4, 4, 60.0, drafts=False)
    assert times.at(4, 4) == pytest.approx(60.0, rel=0.01)
    times.widen({24: 3.0})
    assert times.rows(4, 20) == 20


def test_a_head_that_makes_a_pass_for_each_answer_is_found_out() -> None:
    costs = SharedCosts(calibration())
    assert costs.drafting("eagle", 2.0, 0.0).level_ms == 2.0
    for answers in [2, 8, 4] * 10:
        costs.observe(answers, 2 * answers, 70.0, SharedDrafting("eagle", 1, answers, 2.0 * answers, 2.0), drafts=True)
    cost = costs.drafting("eagle", 2.0, 0.0)
    assert cost.at(1, 8) == pytest.approx(16.0, rel=0.1)
    assert cost.at(1, 2) == pytest.approx(4.0, rel=0.25)


def test_a_drafter_of_which_nothing_is_known_is_looked_at_twice() -> None:
    """Graphs are built in its first passes."""
    costs = SharedCosts(calibration())
    costs.observe(4, 8, 73.0, SharedDrafting("eagle", 1, 4, 900.0), drafts=True)
    assert costs.drafting("eagle", 0.0, 0.0).at(1, 4) == 0.0
    for _ in range(10):
        costs.observe(4, 8, 73.0, SharedDrafting("eagle", 1, 4, 8.0), drafts=True)
    assert costs.drafting("eagle", 0.0, 0.0).at(1, 4) == pytest.approx(8.0, rel=0.05)


def test_rows_beyond_the_widest_pass_are_passes_more() -> None:
    times = SharedPassTimes(calibration(), 5)
    assert times.at(8, 8) == pytest.approx(times.at(1, 5) + times.at(1, 3), rel=0.2)
    assert times.at(8, 20) == pytest.approx(4 * times.at(1, 5), rel=0.5)
    assert times.rows(2, 4) <= 5, "none is padded beyond it"
    times.widen({12: 1.0, 16: 1.0})
    assert times.at(8, 16) > 2 * times.at(1, 5), "nor is a wider one counted on"


def test_what_each_answer_drafts_alone_is_a_pass_for_each_from_the_beginning() -> None:
    costs = SharedCosts(calibration())
    assert costs.drafting("eagle", 6.0, 0.5, alone=True).at(1, 8) == 48.0
    assert costs.drafting("model", 6.0, 0.5).at(1, 8) == pytest.approx(9.5)
    for _ in range(2):
        costs.observe(8, 16, 90.0, SharedDrafting("eagle", 1, 8, 40.0, 6.0, 0.5, alone=True), drafts=True)
    assert 40.0 < costs.drafting("eagle", 6.0, 0.5, alone=True).at(1, 8) < 48.0


def test_the_first_step_of_a_drafter_tells_nothing_of_its_neighbours_either() -> None:
    """What is built and tried then is in the time of all, and who is taken to be dear is not asked again."""
    costs = SharedCosts(calibration())
    costs.observe(8, 16, 76.0, SharedDrafting("eagle", 1, 8, 500.0), drafts=True)
    costs.observe(
        8, 16, 76.0, SharedDrafting("eagle", 1, 4, 250.0), SharedDrafting("model", 1, 4, 250.0, 6.0), drafts=True
    )
    assert costs.drafting("eagle", 0.0, 0.0).level_ms == 0.0
    costs.observe(8, 16, 76.0, SharedDrafting("eagle", 1, 8, 12.0), drafts=True)
    assert costs.drafting("eagle", 0.0, 0.0).at(1, 8) == pytest.approx(12.0)


def test_odds_are_believed_as_far_as_their_outcomes_bore_them_out() -> None:
    costs = SharedCosts(calibration())
    assert costs.trust("model") == 1.0
    costs.brought("model", 4.0, 2)
    assert 0.9 < costs.trust("model") < 1.0, "one step says little"
    for _ in range(200):
        costs.brought("model", 4.0, 2)
        costs.brought("ngram", 4.0, 6)
    assert costs.trust("model") == pytest.approx(0.5, abs=0.05)
    assert costs.trust("ngram") == 1.0, "nobody is promised more than his odds say"


def test_a_plain_step_is_looked_at_the_oftener_the_less_it_loses() -> None:
    costs = SharedCosts(calibration())
    costs.observe(8, 8, 73.0, drafts=False)
    for waited in range(30):
        assert costs.plain_is_due(8, 0.0, 73.0) is (waited >= 6)
        assert costs.plain_is_due(8, 7.3, 73.0) is (waited >= 20)
        costs.observe(8, 16, 76.0, drafts=True)
    costs.observe(8, 8, 73.0, drafts=False)
    assert not costs.plain_is_due(8, 0.0, 73.0)


def test_a_pass_that_surprises_asks_for_a_plain_step_at_once() -> None:
    """Nobody knows whether all passes or only those with drafts take longer now."""
    costs = SharedCosts(calibration())
    costs.observe(8, 8, 73.0, drafts=False)
    costs.observe(8, 16, 76.0, drafts=True)
    assert not costs.plain_is_due(8, 70.0, 73.0)
    costs.observe(8, 16, 100.0, drafts=True)
    assert costs.plain_is_due(8, 70.0, 73.0)
    costs.observe(8, 8, 73.0, drafts=False)
    assert not costs.plain_is_due(8, 70.0, 73.0)
    costs.observe(8, 16, 200.0, drafts=True)
    assert not costs.plain_is_due(8, 70.0, 73.0), "a machine that is never quiet is not looked at for ever"


def test_a_plain_step_is_due_where_none_of_about_as_many_answers_was_seen() -> None:
    """What one answer's passes take says little of what eight answers' do."""
    costs = SharedCosts(calibration())
    assert costs.plain_is_due(8, 70.0, 73.0)
    costs.observe(8, 16, 76.0, drafts=True)
    assert costs.plain_is_due(8, 70.0, 73.0), "those were drafts"
    costs.observe(8, 8, 73.0, drafts=False)
    due = [answers for answers in (4, 6, 8, 12, 16) if costs.plain_is_due(answers, 70.0, 73.0)]
    assert due == [4, 16]


def test_a_width_is_believed_from_the_first_pass_on_with_drafts_and_without() -> None:
    """On this machine eight answers' plain pass takes what was measured, and sixteen rows far longer."""
    times = SharedPassTimes(calibration())
    for _ in range(4):
        times.observe(8, 8, 73.0, drafts=False)
        times.observe(8, 16, 125.0, drafts=True)
    assert times.at(8, 8) == pytest.approx(73.0, rel=0.05)
    assert times.at(8, 16) == pytest.approx(125.0, rel=0.08)
