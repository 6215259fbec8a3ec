"""Rollback of caches whose text lies in blocks: what lies behind the kept tokens is overwritten."""

from typing import Any

import mlx.core as mx

from mlx_spec.decoding.cache.kinds.policy import Unmarked


class InBlocks(Unmarked):
    """`BlockCache`: as `KVCache`, it writes and reads at its offset."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def drop(self, count: int) -> None:
        """Lower the offset."""
        self._cache.trim(count)

    @property
    def num_arrays(self) -> int:
        """Keys and values."""
        return 2

    def arrays(self) -> list[mx.array]:
        """Copies of both, in the order of the text."""
        stored: list[mx.array] = self._cache.stored()
        return stored

    def room(self, length: int, *, reads_on: bool) -> int:
        """Its blocks have it."""
        return 0

    def hold(self, arrays: list[mx.array], length: int) -> None:
        """Write them from the first block on."""
        self.drop(self._cache.offset)
        self._cache.hold(*arrays, length)

    def clear(self) -> None:
        """Hold nothing."""
        self._cache.clear()

    def tree(self, count: int) -> tuple[list[mx.array], int]:
        """Keys and values of the newest tokens alone, as the passes gave them: to read the pool for them would have its
        next writing copy it."""
        return self._cache.newest(count), 0

    def keep(self, arrays: list[mx.array], count: int, kept: int) -> None:
        """Write what stays over what stood there."""
        self._cache.keep(arrays, count, kept)
