"""Attention over keys and values in arrays of their own, in which each row has the bits that it has alone.

MLX's own takes another kernel from nine rows on, and on the larger chips another from so many keys on; with two
launches it divides the keys by how many there are, and by how many rows. Here a row adds up the keys that it sees in
the order of their positions, in splits counted from the first of them: what lies behind, what stands beside and where
they are stored decides nothing. They are the sums of `paged_attention`, by the same kernel.
"""

from dataclasses import dataclass

import mlx.core as mx

from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.metal import long_enough
from mlx_spec.machine.kernels.paged_attention import SPLIT, launched


@dataclass(frozen=True, slots=True, eq=False)
class SeenKeys:
    """Which keys each row sees: `counts` `[rows]` (int32, 1 at least) of them, the first ones, or where there is an
    `order` `[rows, most]` (int32) those that it names, by the order of their positions. Rows come sequence by sequence.
    """

    counts: mx.array
    order: mx.array | None = None


def causal(batch: int, rows: int, length: int) -> SeenKeys:
    """The newest `rows` of `length` tokens, each of which sees those before it and itself."""
    return SeenKeys(mx.tile(mx.arange(length - rows + 1, length + 1, dtype=mx.int32), batch))


def everything(batch: int, rows: int, length: int, begins: int = 0) -> SeenKeys:
    """Every row sees all keys. In a ring the oldest of them `begins` somewhere."""
    counts = mx.full((batch * rows,), length, dtype=mx.int32)
    if not begins:
        return SeenKeys(counts)
    order = (mx.arange(length, dtype=mx.int32) + begins) % length
    return SeenKeys(counts, mx.broadcast_to(order, (batch * rows, length)))


def masked(mask: mx.array) -> SeenKeys:
    """Rows see what a mask `[rows, length]` (bool) lets them, of keys that are stored in the order of their positions:
    chains, windows, trees. A row that sees nothing, as nobody asked for it, sees the first key."""
    length = mask.shape[1]
    ranks = mx.cumsum(mask.astype(mx.int32), axis=1) - 1
    # What is not seen goes to a place behind the last, and is never looked up.
    places = mx.where(mask, ranks, length)
    stored = mx.broadcast_to(mx.arange(length, dtype=mx.int32), mask.shape)
    empty = mx.zeros((mask.shape[0], length + 1), dtype=mx.int32)
    return SeenKeys(mx.maximum(ranks[:, -1] + 1, 1), mx.put_along_axis(empty, places, stored, axis=1))


def row_attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    seen: SeenKeys,
    *,
    scale: float,
    length: int | None = None,
    sinks: mx.array | None = None,
) -> mx.array:
    """What `queries` `[batch, heads, n, width]` take from the values that they see, `[batch, heads, n, value width]`.

    `keys` and `values` `[batch, kv_heads, capacity, width]`, `heads` a multiple of `kv_heads`; of these the first
    `length` may be seen, None: all. `sinks` `[heads]` take weight and give no value. Lazy. Without the kernel each row
    goes through MLX's own by itself. Raises ValueError where shapes do not go together.
    """
    batch, heads, count, width = queries.shape
    _check(queries, keys, values, seen)
    length = keys.shape[2] if length is None else length
    if not dispatch.serves():
        return _by_mlx(queries, keys, values, seen, scale, length, sinks)
    by_row = queries.swapaxes(1, 2).reshape(batch * count, heads, width)
    places = [
        mx.zeros((1, 1), dtype=mx.int32),
        mx.repeat(mx.arange(batch, dtype=mx.int32), count),
        seen.counts - 1,
        seen.counts if seen.order is None else mx.zeros_like(seen.counts),
        mx.zeros((batch * count, 1), dtype=mx.int32) if seen.order is None else seen.order,
    ]
    # However few rows and keys there are, it is one kernel.
    places = [long_enough(array, axis=array.ndim - 1) for array in places]
    found = launched(by_row, (keys, values), places, block=0, splits=-(-length // SPLIT), scale=scale, sinks=sinks)
    return found.reshape(batch, count, heads, -1).swapaxes(1, 2)


def _by_mlx(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    seen: SeenKeys,
    scale: float,
    length: int,
    sinks: mx.array | None,
) -> mx.array:
    """A row at a time."""
    batch, _, count, _ = queries.shape
    found = []
    for row in range(batch * count):
        one, at = divmod(row, count)
        held = [array[one : one + 1, :, :length] for array in (keys, values)]
        if seen.order is not None:
            held = [mx.take(array, seen.order[row, :length], axis=2) for array in held]
        mask = (mx.arange(length) < seen.counts[row])[None]
        query = queries[one : one + 1, :, at : at + 1]
        found.append(mx.fast.scaled_dot_product_attention(query, *held, scale=scale, mask=mask, sinks=sinks))
    rows = mx.concatenate(found, axis=2)
    return mx.concatenate(list(mx.split(rows, batch, axis=2)), axis=0)


def _check(queries: mx.array, keys: mx.array, values: mx.array, seen: SeenKeys) -> None:
    batch, heads, count, width = queries.shape
    if keys.shape[:3] != values.shape[:3] or keys.shape[0] != batch:
        raise ValueError(f"keys {keys.shape} and values {values.shape} do not go with queries {queries.shape}")
    if keys.shape[3] != width or heads % keys.shape[1]:
        raise ValueError(f"queries {queries.shape} do not go with keys {keys.shape}")
    if seen.counts.shape[0] != batch * count:
        raise ValueError(f"{seen.counts.shape[0]} rows see something, of {batch * count}")
