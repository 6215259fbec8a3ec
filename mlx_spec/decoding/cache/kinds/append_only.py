"""Rollback of caches that only append: what lies behind the kept tokens is cut off, or no longer looked at."""

from typing import Any, ClassVar

import mlx.core as mx
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models.cache import ConcatenateKVCache, KVCache, QuantizedKVCache


class AppendOnly:
    """`KVCache`, `QuantizedKVCache`: they write and read at their offset, so lowering it is all there is to do."""

    marks: ClassVar[bool] = False

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

    def cut(self, length: int) -> None:
        """Lower the offset to `length`. Compiled passes look at all of the arrays, so their size goes with it."""
        cache = self._cache
        size = -(-length // cache.step) * cache.step
        cache.keys, cache.values = tree_map(lambda array: array[..., :size, :], (cache.keys, cache.values))
        cache.offset = length

    def tree(self, count: int) -> tuple[list[mx.array], int]:
        """Keys and values; of quantised ones their scales and biases too."""
        cache = self._cache
        return [array for _, array in tree_flatten([cache.keys, cache.values])], cache.offset - count

    def keep(self, arrays: list[mx.array], count: int, kept: int) -> None:
        """Lower the offset behind what stays."""
        cache = self._cache
        half = len(arrays) // 2
        if isinstance(cache.keys, mx.array):
            cache.keys, cache.values = arrays
        else:
            cache.keys, cache.values = tuple(arrays[:half]), tuple(arrays[half:])
        cache.trim(count - kept)


class Concatenated:
    """`ConcatenateKVCache`: it goes on behind whatever its arrays hold, so its own `trim` would not be enough."""

    marks: ClassVar[bool] = False

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

    def cut(self, length: int) -> None:
        """Cut the keys and values off behind `length`."""
        self.drop(self._cache.offset - length)

    def tree(self, count: int) -> tuple[list[mx.array], int]:
        """Keys and values."""
        return [self._cache.keys, self._cache.values], self._cache.offset - count

    def keep(self, arrays: list[mx.array], count: int, kept: int) -> None:
        """Cut off what lies behind what stays."""
        self._cache.keys, self._cache.values = arrays
        self.drop(count - kept)
