"""How drafts fare, learnt from rounds."""

import pytest

from mlx_spec.acceptance.tree import Shape
from mlx_spec.lookahead.odds import Acceptance, PriorDiscount, Rate, expected_tree


def test_a_rate_gives_up_its_past_when_the_text_changes() -> None:
    rate = Rate()
    for _ in range(60):
        rate.observe(True)
    for _ in range(8):
        rate.observe(False)
    assert rate.mean < 0.5


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


def test_what_a_tree_brings_is_the_sum_over_its_paths() -> None:
    known = Acceptance()
    for right in (1, 1, 2, 0, 1, 2, 0, 1, 3, 0) * 20:
        known.observe_tree([(3, right)])
    first, second, third = known.guesses(0, 3)
    assert first == pytest.approx(0.4, abs=0.05)
    assert second == pytest.approx(0.2, abs=0.05)
    assert third == pytest.approx(0.1, abs=0.05)
    assert expected_tree(known, Shape((3,))) == pytest.approx(1 + first + second + third)
    # Of all nodes the likeliest two: the first and the second guess, or the first and what follows it.
    deeper = first * known.guesses(1, 3)[0]
    assert expected_tree(known, Shape((3, 3), nodes=2)) == pytest.approx(1 + first + max(second, deeper))
