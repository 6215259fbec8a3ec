"""Attention over keys and values that lie in blocks of a pool, for rows of several answers, each by itself.

A row's bits depend on its own query, its own keys and values and its own position, and on nothing else: not on the rows
beside it, the other answers, the blocks that hold its text, or (in the kernel) on the order in which a tree was stored.
The positions are cut into splits at fixed places, each of which leaves a maximum, a sum of exponentials and mixed
values; a second launch folds them in order. All sums are in float32.

Layout of a pool: `[blocks, kv_heads, block_tokens, width]`. A block's rows of one head lie behind each other, so that a
simdgroup reads a split of one head in `split / block_tokens` straight lines.
"""

from typing import Final

import mlx.core as mx

from mlx_spec.machine.kernels import dispatch, paged_attention_ops
from mlx_spec.machine.kernels.metal import MetalKernel, Template, long_enough, threads_for
from mlx_spec.machine.kernels.paged_rows import PagedRows

SPLIT: Final = 256
"""Positions of a split: enough that folding costs little, few enough that a context of 4,000 tokens spreads."""
_KEYS: Final = 4
"""Keys that are on their way at a time."""
_SIMDGROUPS: Final = 8
_NO_WINDOW: Final = 2**31 - 1

PARTIALS: Final = MetalKernel(
    "paged_partials",
    (
        *("queries", "keys", "values", "block_ids", "answers"),
        *("positions", "text_lengths", "paths", "window", "factors"),
    ),
    ("sums", "mixtures"),
    ("rounding",),
)
FINISH: Final = MetalKernel(
    "paged_finish", ("sums", "mixtures", "positions", "window", "sinks"), ("mixed_values",), ("rounding",)
)


def paged_attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    rows: PagedRows,
    *,
    scale: float,
    window: int | None = None,
    softcap: float | None = None,
    sinks: mx.array | None = None,
) -> mx.array:
    """What each row of `queries` `[rows, heads, width]` takes from the values it sees, `[rows, heads, value width]`.

    `keys` and `values` `[blocks, kv_heads, block_tokens, width]` are the pools of one layer, in which the rows' own
    tokens are stored already; `heads` is a multiple of `kv_heads`. A `window` lets a row see its newest `window`
    positions only, itself among them. Scores are `scale * q · k`, through `softcap * tanh(score / softcap)` if there is
    one; `sinks` `[heads]` are scores that take weight and give no value. Lazy. Raises ValueError where shapes do not
    go together.
    """
    _check(queries, keys, values, rows)
    if not dispatch.serves():
        return paged_attention_ops.paged_attention(
            queries, keys, values, rows, scale=scale, window=window, softcap=softcap, sinks=sinks
        )
    place = [rows.answers, rows.positions, rows.text_lengths, rows.paths]
    return launched(
        queries,
        (keys, values),
        [rows.block_ids, *place],
        block=rows.block_tokens,
        splits=_splits(rows, window),
        scale=scale,
        window=window,
        softcap=softcap,
        sinks=sinks,
    )


def launched(
    queries: mx.array,
    held: tuple[mx.array, mx.array],
    places: list[mx.array],
    *,
    block: int,
    splits: int,
    scale: float,
    window: int | None = None,
    softcap: float | None = None,
    sinks: mx.array | None = None,
) -> mx.array:
    """Both launches. `places` are what `PARTIALS` calls `block_ids`, which are looked at where `block` is not 0, and
    `answers`, `positions`, `text_lengths` and `paths` of every row. Metal only."""
    keys, values = held
    block_ids, *by_row = places
    limit = mx.array([_NO_WINDOW if window is None else window], dtype=mx.int32)
    factors = mx.array([scale, softcap or 1.0], dtype=mx.float32)
    template: dict[str, Template] = {
        "WIDTH": keys.shape[3],
        "VALUE_WIDTH": values.shape[3],
        "BLOCK": block,
        "SPLIT": SPLIT,
        "KEYS": _KEYS,
        "CAPPED": softcap is not None,
        "SINKS": sinks is not None,
    }
    found = []
    total = queries.shape[0]
    for begin in range(0, total, dispatch.MOST_ROWS):
        part = slice(begin, begin + dispatch.MOST_ROWS)
        mine = queries if total <= dispatch.MOST_ROWS else queries[part]
        facts = [long_enough(array[part], axis=array.ndim - 1) for array in by_row]
        sums, mixtures = _partials(mine, keys, values, [block_ids, *facts, limit, factors], template, splits)
        sink = mx.zeros((1,)) if sinks is None else sinks
        found.append(_finish([sums, mixtures, facts[1], limit, sink], template, queries.dtype))
    return found[0] if len(found) == 1 else mx.concatenate(found)


def _partials(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    others: list[mx.array],
    template: dict[str, Template],
    splits: int,
) -> list[mx.array]:
    """The first launch. Nothing that the compiler sees depends on the number of rows."""
    rows, heads = queries.shape[:2]
    kv_heads = keys.shape[1]
    members = rows * (heads // kv_heads)
    threads = threads_for(32 * members, most=32 * _SIMDGROUPS)
    return PARTIALS(
        [queries, keys, values, *others],
        template={name: value for name, value in template.items() if name != "SINKS"},
        groups=(splits, kv_heads * -(-members * 32 // threads)),
        threads=threads,
        outputs=[((rows, heads, splits, 2), mx.float32), ((rows, heads, splits, values.shape[3]), mx.float32)],
    )


def _finish(arrays: list[mx.array], template: dict[str, Template], dtype: mx.Dtype) -> mx.array:
    """The second launch."""
    rows, heads = arrays[0].shape[:2]
    simdgroups = min(_SIMDGROUPS, rows * heads)
    return FINISH(
        arrays,
        template={"T": dtype, **{name: template[name] for name in ("VALUE_WIDTH", "SPLIT", "SINKS")}},
        groups=(-(-rows * heads // simdgroups), 1),
        threads=32 * simdgroups,
        outputs=[((rows, heads, arrays[1].shape[3]), dtype)],
    )[0]


def _splits(rows: PagedRows, window: int | None) -> int:
    """Splits that a row looks at, at most."""
    all_of_them = -(-rows.longest // SPLIT)
    return all_of_them if window is None else min(all_of_them, -(-window // SPLIT) + 1)


def _check(queries: mx.array, keys: mx.array, values: mx.array, rows: PagedRows) -> None:
    if queries.shape[0] != rows.total:
        raise ValueError(f"{queries.shape[0]} rows of queries for {rows.total} rows of answers")
    if keys.shape[:3] != values.shape[:3] or keys.shape[2] != rows.block_tokens:
        raise ValueError(f"keys {keys.shape} and values {values.shape} are no blocks of {rows.block_tokens} tokens")
    if queries.shape[2] != keys.shape[3] or queries.shape[1] % keys.shape[1]:
        raise ValueError(f"queries {queries.shape} do not go with keys {keys.shape}")
