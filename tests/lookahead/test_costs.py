"""What passes and drafts take, learnt from rounds."""

import pytest

from mlx_spec.lookahead.costs import Calibration, DraftTimes, VerifyTimes, expected_round
from mlx_spec.lookahead.theory import expected_speedup
from tests.lookahead.machines import EPYC, FLAT


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


def test_one_stall_of_the_machine_is_no_new_cost() -> None:
    times = VerifyTimes(Calibration(tuple(FLAT)))
    for _ in range(10):
        times.observe(5, 30.0)
    times.observe(5, 3000.0)
    assert times.at(5) < 45
    for _ in range(20):
        times.observe(5, 60.0)
    assert times.at(5) == pytest.approx(60, rel=0.05)


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
