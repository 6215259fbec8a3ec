"""Passes that attend to an answer's blocks where they lie, without laying them side by side first.

`BlockCache` stands in a layer's cache's place: it writes new keys and values into the blocks of a pool, and gives the
model `BlockKeys`, which attend through the seam (`attention.py`).
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

import mlx.core as mx
from mlx_lm.models.cache import CacheList, KVCache, RotatingKVCache

from mlx_spec.decoding.cache.paged.arrays import LayerBlocks
from mlx_spec.decoding.cache.paged.table import BlockTable
from mlx_spec.decoding.cache.passes.attention import seam_of
from mlx_spec.decoding.cache.passes.forward import PassOutput, run
from mlx_spec.decoding.cache.passes.paged_keys import BlockKeys, BlockMask
from mlx_spec.decoding.cache.passes.placement import PlacedCache, Placement
from mlx_spec.models.taps import Taps

_REMEMBERED: Final = 128
"""Of the newest tokens keys and values are at hand too, to choose a tree's path from: as many as one may have."""


class BlockCache:
    """One layer of an answer whose text lies in the blocks of `table`, `offset` tokens of it. `window`: what a row sees
    at most, of layers that mlx-lm gives a rotating cache; nothing is dropped for it.

    An answer at a time, as `KVCache` with a batch of one.
    """

    held_in: ClassVar = ("layer", "_newest")

    def __init__(self, table: BlockTable, layer: LayerBlocks, window: int | None = None, offset: int = 0) -> None:
        self.table, self.layer, self.window, self.offset = table, layer, window, offset
        self._newest: list[tuple[mx.array, mx.array]] = []
        self._first = 0  # of the text that it goes on from, what stands before may not have been at hand

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[BlockKeys, BlockKeys]:
        """Store `[1, kv_heads, n, width]` behind what is stored."""
        if keys.shape[0] != 1:
            raise ValueError(f"a cache over blocks holds one answer, not {keys.shape[0]}")
        self._write(keys, values)
        self._newest.append((keys, values))
        while sum(one.shape[2] for one, _ in self._newest[1:]) >= _REMEMBERED:
            self._newest.pop(0)
        return self.keys_and_values()

    def keys_and_values(self, placement: Placement | None = None) -> tuple[BlockKeys, BlockKeys]:
        """What the layer attends to."""
        keys = BlockKeys(self.table, self.layer, self.offset, self.window, placement)
        return keys, keys

    def make_mask(self, count: int, return_array: bool = False, window_size: int | None = None) -> BlockMask:
        """What rows see, for the keys to attend by."""
        windows = [size for size in (window_size, self.window) if size is not None]
        return BlockMask(min(windows, default=None))

    def placed(self, placement: Placement) -> "PlacedBlocks":
        """What a model sees of it during a pass over a tree."""
        return PlacedBlocks(self, placement)

    @property
    def state(self) -> list[mx.array]:
        """The arrays to wait for; those of the pool, which other answers share."""
        return self.layer.arrays

    def empty(self) -> bool:
        """Whether nothing is stored."""
        return self.offset == 0

    def is_trimmable(self) -> bool:
        """Always."""
        return True

    def trim(self, count: int) -> int:
        """Forget the newest tokens: the next pass overwrites them."""
        count = min(count, self.offset)
        self.offset -= count
        self._newest = []
        return count

    def cut(self, length: int) -> None:
        """Hold the first `length` tokens only, and give back the blocks behind them."""
        self.trim(self.offset - length)
        self.table.cut(length)

    def newest(self, count: int) -> list[mx.array]:
        """Keys and values `[1, kv_heads, count, width]` of the newest tokens, which passes since the last `trim` or
        `keep` stored."""
        if count > self._at_hand:
            raise ValueError(f"of {count} tokens {self._at_hand} are at hand")
        arrays = [mx.concatenate(list(each), axis=2) for each in zip(*self._newest, strict=True)]
        return [array[:, :, self._at_hand - count :] for array in arrays]

    def hold(self, keys: mx.array, values: mx.array, length: int) -> None:
        """Hold a text of `length` tokens, of which those at hand are the newest: `[1, kv_heads, n, width]`. What this
        cache holds of it stays; where a window sees no further, less than all may be at hand."""
        begin = max(self.offset, length - keys.shape[2])
        self._first = begin if begin > self.offset else min(self._first, begin)
        at = keys.shape[2] - length + begin
        self.offset = begin
        self._write(keys[:, :, at:], values[:, :, at:])

    def stored(self, begin: int = 0) -> list[mx.array]:
        """Keys and values `[1, kv_heads, n, width]` from token `begin` on; none where nothing is stored. Copied,
        lazily: they are to be computed before the next pass is built. Raises ValueError where a window had dropped
        some of them."""
        if not self.offset:
            return []
        if begin < self._first:
            raise ValueError(f"tokens {begin} to {self._first} were not at hand when this text went over to blocks")
        size = self.table.block_tokens
        first = begin // size
        blocks = mx.array(self.table.blocks[first : -(-self.offset // size)], dtype=mx.int32)
        taken = [array.swapaxes(0, 1).flatten(1, 2)[None] for array in self.layer.take(blocks)]
        return [array[:, :, begin - first * size : self.offset - first * size] for array in taken]

    def ring(self) -> RotatingKVCache:
        """A cache of mlx-lm's that holds what this one's window sees."""
        assert self.window is not None, "it sees everything"
        cache, count = RotatingKVCache(max_size=self.window), min(self.offset, self.window)
        if count:
            cache.keys, cache.values = self.stored(self.offset - count)
            mx.eval(cache.keys, cache.values)
        cache.offset, cache._idx = self.offset, count
        return cache

    def clear(self) -> None:
        """Hold nothing, its layer neither: where nobody else does, that is free. The table keeps its blocks, as other
        layers have theirs by it."""
        self.trim(self.offset)
        self.layer, self._first = LayerBlocks(0, self.table.block_tokens), 0

    def keep(self, arrays: Sequence[mx.array], count: int, kept: int) -> None:
        """In the place of the newest `count` tokens have the first `kept` of `arrays`, as `newest` gave them."""
        self.offset -= count
        keys, values = (array[:, :, :kept] for array in arrays)
        self._newest = []
        if kept:
            self._write(keys, values)
            self._newest = [(keys, values)]

    def _write(self, keys: mx.array, values: mx.array) -> None:
        end = self.offset + keys.shape[2]
        self.layer.write(self.table.make_room(self.offset, end), keys[0], values[0])
        self.offset = end

    @property
    def _at_hand(self) -> int:
        return sum(keys.shape[2] for keys, _ in self._newest)


class PlacedBlocks(PlacedCache):
    """The same in a pass over a tree."""

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> Any:
        """Store the tokens behind those that are there."""
        self._cache.update_and_fetch(keys, values)
        return self._cache.keys_and_values(self._placement)

    def make_mask(self, count: int, return_array: bool = False, window_size: int | None = None) -> Any:
        """What rows see besides their ancestors, whom the keys know."""
        return self._cache.make_mask(count, return_array, window_size)


def num_block_layers(caches: Sequence[Any]) -> int:
    """How many of a model's caches can be over blocks: for each a pool needs the memory of a layer."""
    return sum(num_block_layers(one.caches) if type(one) is CacheList else _is_in_order(one) for one in caches)


def block_caches(caches: Sequence[Any], table: BlockTable, layers: Sequence[LayerBlocks], offset: int = 0) -> list[Any]:
    """An answer's caches, over blocks in the place of those that hold keys and values in the order of their positions;
    the others stay. `layers`: `num_block_layers` of them, those of the pool.

    The table holds the first `offset` tokens already. What `caches` hold behind them is copied into blocks: so a prompt
    is read over a model's own caches, as ever, and answered over blocks.
    """
    given = iter(layers)
    return [_over_blocks(cache, table, given, offset) for cache in caches]


def _over_blocks(cache: Any, table: BlockTable, layers: Iterator[LayerBlocks], offset: int) -> Any:
    # No function of `block_caches` that calls itself: such a circle would hold the layers until Python looks for it.
    if type(cache) is CacheList:
        return CacheList(*(_over_blocks(one, table, layers, offset) for one in cache.caches))
    if not _is_in_order(cache):
        return cache
    made = BlockCache(table, next(layers), getattr(cache, "max_size", None), offset)
    if cache.offset > offset:
        made.hold(*_in_order(cache), cache.offset)
    return made


def _is_in_order(cache: Any) -> bool:
    return type(cache) is KVCache or (type(cache) is RotatingKVCache and not cache.keep)


def _in_order(cache: Any) -> tuple[mx.array, mx.array]:
    """The newest tokens that it holds, oldest first."""
    if type(cache) is RotatingKVCache:
        return cache._temporal_order(cache.keys), cache._temporal_order(cache.values)
    return cache.keys[..., : cache.offset, :], cache.values[..., : cache.offset, :]


def run_paged(
    model: Any, token_ids: mx.array, caches: Sequence[Any], taps: Taps | None = None, placement: Placement | None = None
) -> PassOutput:
    """As `forward.run`, over caches of which some are over blocks."""
    with seam_of(model).opened():
        return run(model, token_ids, caches, taps, placement)
