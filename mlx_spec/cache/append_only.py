"""Rollback of caches that only append: what lies behind the kept tokens is cut off, or no longer looked at."""

from collections.abc import Sequence
from typing import Any, ClassVar

import mlx.core as mx
from mlx.utils import tree_map
from mlx_lm.models.cache import ConcatenateKVCache, KVCache, QuantizedKVCache


class AppendOnly:
    """`KVCache`, `QuantizedKVCache`: they write and read at their offset, so lowering it is all there is to do."""

    marks: ClassVar[bool] = False
    replays: ClassVar[bool] = False

    def __init__(self, cache: KVCache | QuantizedKVCache) -> None:
        self._cache = cache

    def mark(self, count: int) -> Any:
        """Nothing is destroyed by a pass."""

    def take_back(self, mark: Any, count: int) -> None:
        """Forget all `count` tokens of the newest pass."""
        self.drop(count)

    def drop(self, count: int) -> None:
        """Lower the offset; the next pass overwrites what lies behind it."""
        self._cache.trim(count)

    def choose(self, count: int, indices: Sequence[int]) -> None:
        """Move the chosen keys and values up to where a chain would have put them."""
        cache, begin = self._cache, self._cache.offset - count
        sources = mx.array(list(indices), dtype=mx.int32) + begin

        def moved(array: mx.array) -> mx.array:
            return mx.slice_update(array, mx.take(array, sources, axis=2), mx.array(begin), axes=(2,))

        cache.keys, cache.values = tree_map(moved, (cache.keys, cache.values))
        cache.trim(count - len(indices))


class Concatenated:
    """`ConcatenateKVCache`: it goes on behind whatever its arrays hold, so its own `trim` would not be enough."""

    marks: ClassVar[bool] = False
    replays: ClassVar[bool] = False

    def __init__(self, cache: ConcatenateKVCache) -> None:
        self._cache = cache

    def mark(self, count: int) -> Any:
        """Nothing is destroyed by a pass."""

    def take_back(self, mark: Any, count: int) -> None:
        """Forget all `count` tokens of the newest pass."""
        self.drop(count)

    def drop(self, count: int) -> None:
        """Cut the newest `count` keys and values off."""
        cache, kept = self._cache, self._cache.offset - count
        cache.offset = kept
        if kept == 0:
            cache.keys = cache.values = None
        else:
            cache.keys, cache.values = cache.keys[..., :kept, :], cache.values[..., :kept, :]

    def choose(self, count: int, indices: Sequence[int]) -> None:
        """Put the chosen keys and values behind the text."""
        cache = self._cache
        begin = cache.offset - count
        sources = mx.array([*range(begin), *(begin + index for index in indices)], dtype=mx.int32)
        cache.keys, cache.values = mx.take(cache.keys, sources, axis=2), mx.take(cache.values, sources, axis=2)
        cache.offset = begin + len(indices)
