"""Attention over blocks in MLX's operations, where no kernel runs.

Every block is a product of its own, of one shape whoever asks, with what a row does not see masked afterwards; the
blocks are folded in order. So on a CPU, which makes one product after the other, a row has the same bits beside any
other rows, and wherever its blocks lie. Trees are masked where they are stored: there the kernel alone has a path's
bits.

Blocks that lie behind each other are looked at where they are. Copied are the values of each answer's last block,
whose unwritten places may hold anything, and of the first that a window cuts; scores and mixed values are new, as in
any attention.
"""

import mlx.core as mx

from mlx_spec.machine.kernels.paged_rows import PagedRows, runs


def paged_attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    rows: PagedRows,
    *,
    scale: float,
    window: int | None,
    softcap: float | None,
    sinks: mx.array | None,
) -> mx.array:
    """As `paged_attention.paged_attention`."""
    kv_heads, group = keys.shape[1], queries.shape[1] // keys.shape[1]
    # A row is a product by itself: [rows, blocks, kv_heads, group, width].
    queries = queries.reshape(rows.total, 1, kv_heads, group, -1)
    found = []
    for answer, (begin, end) in enumerate(rows.spans):
        least = _least(rows, answer, window)
        first = least // rows.block_tokens
        last = -(-rows.lengths[answer] // rows.block_tokens)
        blocks = rows.tables[answer][first:last]
        scores = _scores(queries[begin:end].astype(keys.dtype), keys, blocks) * scale
        if softcap is not None:
            scores = softcap * mx.tanh(scores / softcap)
        visible = _visible(rows, answer, first, last, window)
        scores = mx.where(visible[:, :, None, None], scores, -mx.inf)
        found.append(_mixed(scores, _views(values, blocks, first, least, rows, answer), sinks))
    mixed = found[0] if len(found) == 1 else mx.concatenate(found)
    return mixed.reshape(rows.total, kv_heads * group, -1).astype(queries.dtype)


def _least(rows: PagedRows, answer: int, window: int | None) -> int:
    """The first token that any row of an answer sees."""
    if window is None:
        return 0
    earliest = rows.texts[answer] if rows.texts else rows.lengths[answer] - rows.counts[answer]
    return max(0, earliest - window + 1)


def _scores(queries: mx.array, keys: mx.array, blocks: tuple[int, ...]) -> mx.array:
    """`[rows, blocks, kv_heads, group, block_tokens]`, in float32."""
    parts = [queries @ keys[None, begin:end].swapaxes(-1, -2) for begin, end in runs(blocks)]
    return (parts[0] if len(parts) == 1 else mx.concatenate(parts, axis=1)).astype(mx.float32)


def _visible(rows: PagedRows, answer: int, first: int, last: int, window: int | None) -> mx.array:
    """What each row of an answer sees of blocks `first` to `last`, `[rows, blocks, block_tokens]`."""
    begin, end = rows.spans[answer]
    stored = mx.arange(first * rows.block_tokens, last * rows.block_tokens)
    positions = rows.positions[begin:end, None]
    if rows.seen is None:
        visible = stored <= positions
    else:
        text = rows.texts[answer]
        nodes = rows.seen[begin:end, : rows.lengths[answer] - text]
        # By the depth of each node, which is where it stands.
        depths = mx.cumsum(nodes.astype(mx.int32), axis=1) - 1
        visible = mx.broadcast_to(stored < text, (end - begin, stored.size))
        if window is not None:
            nodes = nodes & (text + depths > positions - window)
        if nodes.shape[1]:
            at = text - first * rows.block_tokens
            visible = mx.slice_update(visible, nodes, mx.array(at), axes=(1,))
            stored = mx.where(stored < text, stored, rows.longest)  # the window was looked at
    if window is not None:
        visible = visible & (stored > positions - window)
    return visible.reshape(end - begin, last - first, rows.block_tokens)


def _mixed(scores: mx.array, views: list[mx.array], sinks: mx.array | None) -> mx.array:
    """`[rows, kv_heads, group, value width]`, in float32."""
    tops = mx.max(scores, axis=-1, keepdims=True)
    weights = mx.exp(scores - mx.where(tops == -mx.inf, 0.0, tops))
    sums = mx.sum(weights, axis=-1, keepdims=True)
    weights = weights.astype(views[0].dtype)
    parts = []
    at = 0
    for run in views:
        parts.append(weights[:, at : at + run.shape[0]] @ run[None])
        at += run.shape[0]
    mixed = parts[0] if len(parts) == 1 else mx.concatenate(parts, axis=1)
    # The sum is one more column, so that one fold, of one order, serves both.
    mixed = mx.concatenate([mixed.astype(mx.float32), sums], axis=-1)
    best = mx.max(tops, axis=1, keepdims=True)
    folded = mx.sum(mixed * mx.exp(tops - best), axis=1)
    total = folded[..., -1:]
    if sinks is not None:
        # One so large that this is infinite leaves nothing to the values, as it should.
        total = total + mx.exp(sinks.astype(mx.float32).reshape(*scores.shape[2:4], 1) - best[:, 0])
    return folded[..., :-1] / total


def _views(
    values: mx.array, blocks: tuple[int, ...], first: int, least: int, rows: PagedRows, answer: int
) -> list[mx.array]:
    """The values of an answer's `blocks`, of which `first` is the first one's place in its table, as runs `[blocks,
    kv_heads, block_tokens, width]`. What no row sees is 0, as it has no weight, and may not be a number."""
    size, length = rows.block_tokens, rows.lengths[answer]

    def cleaned(place: int) -> mx.array:
        stored = place * size + mx.arange(size)
        block = blocks[place - first]
        return mx.where(((stored >= least) & (stored < length))[:, None], values[block : block + 1], 0)

    last = first + len(blocks) - 1
    head = int(least > first * size)
    tail = int(length < (last + 1) * size and last >= first + head)
    whole = [values[begin:end] for begin, end in runs(blocks[head : len(blocks) - tail])]
    return [*([cleaned(first)] if head else []), *whole, *([cleaned(last)] if tail else [])]
