"""Verifying by itself, as `mlx-spec bench --verifying` measures it."""

from mlx_spec.bench.verifying import measure_verifying
from mlx_spec.cli.commands.bench.verifying import verifying_lines


def test_the_fallback_holds_less_than_half_of_what_full_probabilities_take() -> None:
    rows = measure_verifying(vocab_size=40_000, gamma=8, repeats=1)
    assert [row.rule for row in rows] == ["token", "block"]
    assert all(0 < row.memory_ratio <= 0.5 for row in rows)
    assert all(row.ours_ms > 0 < row.full_ms for row in rows)
    assert "token" in verifying_lines(rows)[1]
