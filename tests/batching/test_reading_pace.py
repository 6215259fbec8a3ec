"""How long reading takes, as learnt from what was read."""

import math

import pytest

from mlx_spec.batching.reading_pace import ReadingPace


def test_before_anything_was_read_nobody_knows() -> None:
    assert ReadingPace().reading_ms(1) == math.inf


def test_a_pass_has_a_price_of_its_own_so_two_prompts_in_one_are_cheaper_than_two() -> None:
    """A pass takes 60 ms and 2 ms a row; one prompt of 40 tokens tells."""
    pace = ReadingPace()
    pace.pass_ms = 60.0
    pace.observe(1, 40, 140.0)
    assert pace.reading_ms(40) == pytest.approx(140.0)
    assert pace.reading_ms(80) == pytest.approx(220.0)
    pace.observe(3, 100, 3 * 60.0 + 200.0)
    assert pace.reading_ms(80) == pytest.approx(220.0)


def test_it_follows_what_becomes_of_the_machine() -> None:
    pace = ReadingPace()
    for milliseconds in [100.0] * 5 + [300.0] * 8:
        pace.observe(1, 50, milliseconds)
    assert pace.reading_ms(50) == pytest.approx(300.0, rel=0.01)
    pace.pass_ms = 1e3  # measured in a busy moment
    for _ in range(20):
        pace.observe(1, 50, 300.0)
    assert pace.reading_ms(50) >= 1e3, "reading costs nothing less than a pass"
