"""What a model attends to where its cache is over blocks. Masks are told, not made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import mlx.core as mx

from mlx_spec.decoding.cache.paged.arrays import LayerBlocks
from mlx_spec.decoding.cache.paged.table import BlockTable
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.machine.kernels.paged_attention import paged_attention
from mlx_spec.machine.kernels.paged_rows import PagedRows


@dataclass(frozen=True, slots=True)
class BlockMask:
    """What `make_mask` gives: a row sees all that stands before it, or the newest `window` of that."""

    window: int | None


class BlockKeys:
    """The keys and values of one answer, `length` tokens, in one layer. It gives itself for both."""

    def __init__(
        self, table: BlockTable, layer: LayerBlocks, length: int, window: int | None, placement: Placement | None
    ) -> None:
        self.layer, self.window = layer, window
        self._table, self._length, self._placement = table, length, placement

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the keys, as an array would have it: some models ask how many there are."""
        assert self.layer.keys is not None
        _, kv_heads, _, width = self.layer.keys.shape
        return 1, kv_heads, self._length, width

    def attend(
        self, queries: mx.array, values: Any, *, cache: Any, scale: float, mask: Any, sinks: mx.array | None
    ) -> mx.array:
        """See `Fetched`."""
        return attend_together(
            [self], queries, [queries.shape[2]], values=[values], scale=scale, masks=[mask], sinks=sinks
        )

    def rows(self, count: int) -> "_AnswerRows":
        """The newest `count` tokens."""
        seen = None if self._placement is None else self._placement.seen
        if seen is not None and seen.shape[0] != count:
            raise ValueError(f"{count} rows of a tree with {seen.shape[0]}")
        return _AnswerRows(self._table, self._table.blocks, self._length, count, seen)


def attend_together(
    every: Sequence[BlockKeys],
    queries: mx.array,
    counts: Sequence[int],
    *,
    values: Sequence[Any],
    scale: float,
    masks: Sequence[Any],
    sinks: mx.array | None,
) -> mx.array:
    """What the rows `[1, heads, n, width]` of answers find, in their shape: `counts` of them each, in one go."""
    if any(value is not keys for value, keys in zip(values, every, strict=True)):
        raise TypeError("values that are not those of the keys")
    rows = _rows_of([keys.rows(count) for keys, count in zip(every, counts, strict=True)])
    layer, window = every[0].layer, _window(every[0], masks[0], counts[0])
    for keys, mask, count in zip(every[1:], masks[1:], counts[1:], strict=True):
        if keys.layer is not layer or _window(keys, mask, count) != window:
            raise ValueError("answers that share neither their pool nor their window cannot attend together")
    assert layer.keys is not None
    assert layer.values is not None
    by_row = queries[0].swapaxes(0, 1)
    found = paged_attention(by_row, layer.keys, layer.values, rows, scale=scale, window=window, sinks=sinks)
    return found.swapaxes(0, 1)[None]


def _window(keys: BlockKeys, mask: Any, count: int) -> int | None:
    if isinstance(mask, BlockMask):
        return mask.window
    if mask == "causal" or (mask is None and count == 1):
        return keys.window
    raise TypeError(f"a mask of the model's own ({type(mask).__name__})")


@dataclass(frozen=True, slots=True, eq=False)
class _AnswerRows:
    """What one answer has of a pass."""

    table: BlockTable
    blocks: tuple[int, ...]
    length: int
    count: int
    seen: mx.array | None

    def like(self, other: Self) -> bool:
        """Whether it is the same, in another layer."""
        same = self.table is other.table and self.seen is other.seen and self.blocks == other.blocks
        return same and (self.length, self.count) == (other.length, other.count)


def _rows_of(parts: Sequence[_AnswerRows]) -> PagedRows:
    """The rows of a pass, worked out once for all layers."""
    memo = parts[0].table.memo
    if memo is not None and len(memo[0]) == len(parts) and all(map(_AnswerRows.like, parts, memo[0])):
        found: PagedRows = memo[1]
        return found
    tables, lengths, counts = zip(*((part.blocks, part.length, part.count) for part in parts), strict=True)
    texts: tuple[int, ...] = ()
    seen = None
    if any(part.seen is not None for part in parts):
        trees = [_tree_of(part) for part in parts]
        most = max(tree.shape[1] for tree in trees)
        seen = mx.concatenate([mx.pad(tree, [(0, 0), (0, most - tree.shape[1])]) for tree in trees])
        texts = tuple(length - tree.shape[1] for length, tree in zip(lengths, trees, strict=True))
    rows = PagedRows(tables, lengths, counts, parts[0].table.block_tokens, seen, texts)
    parts[0].table.memo = parts, rows
    return rows


def _tree_of(part: _AnswerRows) -> mx.array:
    """A chain is a tree too."""
    return part.seen if part.seen is not None else mx.tril(mx.ones((part.count, part.count))) > 0
