"""Which widths of passes are measured: by what a first pass of each takes, here made up."""

from collections.abc import Callable

import pytest

from mlx_spec.config import SpeculativeConfig, tree_settings
from mlx_spec.lookahead.costs import Calibration, VerifyTimes
from mlx_spec.lookahead.shapes import pass_widths
from mlx_spec.lookahead.useful_widths import useful_widths

WIDTHS = pass_widths(SpeculativeConfig(**tree_settings("6x8:32")))


def useful(cost: Callable[[int], float], *, skips: bool) -> tuple[list[int], int]:
    """The widths, and how many passes it took to tell."""
    made: list[int] = []

    def pass_ms(width: int) -> float:
        made.append(width)
        return cost(width)

    return useful_widths(pass_ms, WIDTHS, lambda done: None, skips=skips), len(made)


def test_all_widths_are_measured_where_each_costs_something() -> None:
    for skips in (False, True):
        assert useful(lambda width: 100.0 + 20 * width, skips=skips)[0] == WIDTHS


def test_over_a_slow_wire_the_widest_stands_for_those_that_cost_as_much() -> None:
    # A second of waiting, and half a millisecond a row.
    widths, passes = useful(lambda width: 1000.0 + 0.5 * width, skips=True)
    assert widths == [1, 2, 3, WIDTHS[-1]]
    assert passes <= 6
    assert useful(lambda width: 1000.0 + 0.5 * width, skips=False)[0] == WIDTHS
    # Nothing is lost: a pass of ten rows is made with as many as are known to cost no more.
    times = VerifyTimes(
        Calibration(tuple(1000.0 + 0.5 * width for width in range(1, WIDTHS[-1] + 1)), measured=(*widths,))
    )
    assert times.rows(10) == WIDTHS[-1]
    assert times.at(10) == pytest.approx(1024.0)


def test_a_step_between_two_widths_is_found() -> None:
    widths, _ = useful(lambda width: 1000.0 if width <= 8 else 2000.0, skips=True)
    assert {1, 2, 3, 8, 9, WIDTHS[-1]} <= set(widths)
    assert len(widths) < len(WIDTHS) - 4


def test_none_is_waited_for_that_costs_as_much_for_each_row() -> None:
    for skips in (False, True):
        assert useful(lambda width: 10.0 * width, skips=skips)[0] == [1, 2, 3]
