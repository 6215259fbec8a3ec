"""`mlx-spec bench --verifying`, for a person."""

from collections.abc import Sequence

from mlx_spec.bench.verifying import GAMMA, VOCAB_SIZE, VerifyingRow


def verifying_lines(rows: Sequence[VerifyingRow]) -> list[str]:
    """A line a rule, for a person."""
    lines = [f"verifying {GAMMA} drafts of {VOCAB_SIZE:,} tokens, against probabilities at every position:"]
    return lines + [_line(row) for row in rows]


def _line(row: VerifyingRow) -> str:
    spent = f"{row.ours_ms:7.1f} ms against {row.full_ms:7.1f} ({row.time_ratio:.2f}x)"
    held = f"{row.ours_peak_bytes / 1e6:6.1f} MB against {row.full_peak_bytes / 1e6:6.1f} ({row.memory_ratio:.2f}x)"
    return f"  {row.rule:6} ({row.path}) {spent}, peak {held}"
