"""Rollback of caches that only append: what lies behind the kept tokens is cut off, or no longer looked at."""

import mlx.core as mx
from mlx_lm.models.cache import ConcatenateKVCache, KVCache, QuantizedKVCache

from mlx_spec.decoding.cache.kinds.policy import Unmarked
from mlx_spec.decoding.cache.passes.slots import held, hold, size_for


class AppendOnly(Unmarked):
    """`KVCache`, `QuantizedKVCache`: they write and read at their offset, so lowering it is all there is to do."""

    def __init__(self, cache: KVCache | QuantizedKVCache) -> None:
        self._cache = cache

    def drop(self, count: int) -> None:
        """Lower the offset; the next pass overwrites what lies behind it."""
        self._cache.trim(count)

    @property
    def num_arrays(self) -> int:
        """Keys and values; of quantised ones their scales and biases too."""
        return 6 if isinstance(self._cache, QuantizedKVCache) else 2

    def arrays(self) -> list[mx.array]:
        """See `num_arrays`."""
        return [] if self._cache.keys is None else list(held(self._cache))

    def room(self, length: int, *, reads_on: bool) -> int:
        """Compiled passes look at all of the arrays, so their size is what reading would have made it."""
        return size_for(length + reads_on, self._cache.step) - length

    def hold(self, arrays: list[mx.array], length: int) -> None:
        """Go on behind them."""
        hold(self._cache, arrays)
        self._cache.offset = length

    def clear(self) -> None:
        """Hold nothing."""
        self._cache.keys = self._cache.values = None
        self._cache.offset = 0

    def tree(self, count: int) -> tuple[list[mx.array], int]:
        """All arrays."""
        return self.arrays(), self._cache.offset - count

    def keep(self, arrays: list[mx.array], count: int, kept: int) -> None:
        """Lower the offset behind what stays."""
        hold(self._cache, arrays)
        self._cache.trim(count - kept)


class Concatenated(Unmarked):
    """`ConcatenateKVCache`: it goes on behind whatever its arrays hold, so its own `trim` would not be enough."""

    def __init__(self, cache: ConcatenateKVCache) -> None:
        self._cache = cache

    def drop(self, count: int) -> None:
        """Cut the newest `count` keys and values off."""
        cache, kept = self._cache, self._cache.offset - count
        cache.offset = kept
        if kept == 0:
            cache.keys = cache.values = None
        else:
            cache.keys, cache.values = cache.keys[..., :kept, :], cache.values[..., :kept, :]

    @property
    def num_arrays(self) -> int:
        """Keys and values."""
        return 2

    def arrays(self) -> list[mx.array]:
        """Keys and values."""
        return [] if self._cache.keys is None else [self._cache.keys, self._cache.values]

    def room(self, length: int, *, reads_on: bool) -> int:
        """It holds just what was read."""
        return 0

    def hold(self, arrays: list[mx.array], length: int) -> None:
        """Go on behind them."""
        self._cache.keys, self._cache.values = arrays
        self._cache.offset = length

    def clear(self) -> None:
        """Hold nothing."""
        self._cache.keys = self._cache.values = None
        self._cache.offset = 0

    def tree(self, count: int) -> tuple[list[mx.array], int]:
        """Keys and values."""
        return [self._cache.keys, self._cache.values], self._cache.offset - count

    def keep(self, arrays: list[mx.array], count: int, kept: int) -> None:
        """Cut off what lies behind what stays."""
        self._cache.keys, self._cache.values = arrays
        self.drop(count - kept)
