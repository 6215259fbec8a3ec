"""What the terminal says of an answer's words: whether rounding could decide one, and how near that came."""

import pytest

from mlx_spec.cli.terminal.answer import stats_lines
from mlx_spec.events import SpeculativeStats


@pytest.mark.parametrize(
    ("stats", "words"),
    [
        (SpeculativeStats(exactness="strict"), "strict: no pass was wider than what keeps rows apart"),
        (SpeculativeStats(exactness="fast", nearest_tie=0.00321), "fast: the nearest tie was 0.0032"),
        (SpeculativeStats(exactness="fast"), "fast: rounding may decide where two tokens are nearly tied"),
        (SpeculativeStats(exactness="strict", lossless=False), "lossy: the acceptance rule changes what the target"),
        (SpeculativeStats(), None),
    ],
)
def test_exactness_in_words(stats: SpeculativeStats, words: str | None) -> None:
    said = dict(stats_lines(stats)).get("exactness")
    assert said is None if words is None else said is not None and said.startswith(words)
