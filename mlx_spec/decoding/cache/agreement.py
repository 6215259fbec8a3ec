"""Whether a way of making passes, tried with a model, says what ordinary passes say, but for rounding."""

from collections.abc import Sequence
from typing import Final, cast

import mlx.core as mx

# What another token, position or text gives differs by something like what two rows do; rounding by far less. Of
# rounding in another precision nothing is known.
_LARGEST_SHARE: Final = {mx.float32: 0.01, mx.float16: 0.1, mx.bfloat16: 0.1}


def within_rounding(error: mx.array, difference: mx.array, dtype: mx.Dtype) -> bool:
    """Whether an `error` (0-d) in logits of `dtype` is rounding, where what is not alike is a `difference` (0-d)
    apart."""
    return cast(bool, (error < _LARGEST_SHARE.get(dtype, 0.0) * difference).item())


def rows_agree(found: Sequence[mx.array], expected: Sequence[mx.array]) -> bool:
    """Whether logits, `[n, vocab]` each, say what is expected: no row is off by more than rounding, where two rows
    that follow each other are something else."""
    ours, theirs = (mx.concatenate([finite(rows) for rows in every]) for every in (found, expected))
    differences = mx.max(mx.abs(theirs[1:] - theirs[:-1]), axis=-1)
    return within_rounding(mx.max(mx.abs(ours - theirs)), mx.min(differences), found[0].dtype)


def finite(rows: mx.array) -> mx.array:
    """Logits to compare: what is excluded is alike, though infinity less infinity is not a number."""
    return mx.where(mx.isfinite(rows), rows, 0.0).astype(mx.float32)
