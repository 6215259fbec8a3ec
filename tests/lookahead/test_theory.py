"""Leviathan's theorem."""

import pytest

from mlx_spec.lookahead.theory import expected_speedup, should_use_speculative


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
