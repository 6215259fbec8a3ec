"""Controllers, and Leviathan's theorem."""

import pytest

from mlx_spec.config import SpeculativeConfig
from mlx_spec.lookahead import FixedLookahead, ThresholdLookahead, controller, expected_speedup


def observed(rounds: list[tuple[int, int]], config: SpeculativeConfig | None = None) -> list[int]:
    """Lengths after each (tested, accepted), with p/q of 1."""
    adaptive = ThresholdLookahead(config or SpeculativeConfig())
    lengths = []
    for tested, accepted in rounds:
        adaptive.observe(tested, accepted, [1.0] * tested)
        lengths.append(adaptive.length)
    return lengths


def test_full_acceptance_lengthens_to_the_maximum() -> None:
    assert observed([(4, 4)] * 6) == [5, 6, 7, 8, 8, 8]


def test_rejections_shorten_to_the_minimum() -> None:
    assert observed([(1, 0)] * 4) == [3, 2, 2, 2]


def test_between_the_thresholds_the_length_stays() -> None:
    assert observed([(4, 3)] * 5) == [4] * 5


def test_the_first_length_is_within_the_bounds() -> None:
    assert ThresholdLookahead(SpeculativeConfig(lookahead=12)).length == 8
    assert ThresholdLookahead(SpeculativeConfig(lookahead=1)).length == 2


def test_a_hopeless_draft_is_parked_and_probed() -> None:
    adaptive = ThresholdLookahead(SpeculativeConfig())
    for _ in range(8):
        adaptive.observe(1, 0, [0.01])
    lengths = []
    for _ in range(32):
        lengths.append(adaptive.length)
        adaptive.observe(*((1, 0, [0.01]) if adaptive.length else (0, 0, [])))
    assert lengths == ([0] * 15 + [2]) * 2
    while not adaptive.length:
        adaptive.observe(0, 0, [])
    adaptive.observe(2, 2, [0.9, 1.1])
    assert adaptive.length >= 2
    adaptive.observe(1, 0, [0.01])  # one poor round is no full window
    assert adaptive.length >= 2


def test_controller_follows_the_configuration() -> None:
    assert isinstance(controller(SpeculativeConfig()), ThresholdLookahead)
    fixed = controller(SpeculativeConfig(lookahead=6, adaptive_lookahead=False))
    fixed.observe(6, 0, [0.0])
    assert isinstance(fixed, FixedLookahead)
    assert fixed.length == 6


@pytest.mark.parametrize(
    ("alpha", "gamma", "cost", "expected"),
    [(0.0, 4, 0.0, 1.0), (1.0, 4, 0.0, 5.0), (0.5, 1, 0.0, 1.5), (0.8, 5, 0.1, 2.45952), (0.5, 3, 1.0, 0.46875)],
)
def test_expected_speedup_is_theorem_3_8(alpha: float, gamma: int, cost: float, expected: float) -> None:
    assert expected_speedup(alpha, gamma, cost) == pytest.approx(expected, rel=1e-5)
