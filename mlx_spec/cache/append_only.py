"""Rollback of caches that only append: what lies behind the kept tokens is cut off, or no longer looked at."""

from typing import Any, ClassVar

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
