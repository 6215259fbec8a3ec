"""How near each row came to another token: by how much its best score, with its noise, beats the next best one."""

from collections.abc import Sequence

import mlx.core as mx

from mlx_spec.machine.kernels.warp import WarpedRows


def margins(rows: WarpedRows, noise_rows: mx.array | None, depths: Sequence[int] | None = None) -> mx.array:
    """`[rows]` (lazy, float32, at least 0): 0 is a tie, infinity where nothing else could have been said. `noise_rows`
    `[positions, vocab]` is that of each position, None at temperature 0; `depths` say which position each row is of,
    where that is not one a row. In MLX's operations, as nothing waits for it."""
    values = _scores(rows)
    if noise_rows is not None:
        values = values + (noise_rows if depths is None else noise_rows[mx.array(list(depths))])
    best = mx.argmax(values, axis=-1, keepdims=True)
    others = mx.put_along_axis(values, best, mx.array(-mx.inf, dtype=values.dtype), axis=-1)
    found = mx.take_along_axis(values, best, axis=-1)[:, 0] - mx.max(others, axis=-1)
    return found.astype(mx.float32)


def _scores(rows: WarpedRows) -> mx.array:
    """What is excluded is minus infinity. Where a kernel has found the least scores that stay, nothing is sorted."""
    if rows.thresholds is None:
        return rows.scores()
    values = rows.logits.astype(mx.float32) if rows.bias is None else rows.logits.astype(mx.float32) + rows.bias
    values = values * rows.scale
    return mx.where(values >= rows.thresholds[:, None], values, -mx.inf)
