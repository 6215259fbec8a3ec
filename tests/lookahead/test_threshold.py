"""The threshold controller: a length that follows the acceptance rate."""

from mlx_spec.config import SpeculativeConfig
from mlx_spec.lookahead.threshold import ThresholdLookahead
from tests.lookahead.machines import MODEL, PLAIN, length, round_of


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


def test_a_hopeless_draft_is_parked_and_tried_again() -> None:
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
