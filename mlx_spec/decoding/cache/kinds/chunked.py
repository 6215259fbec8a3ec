"""Rollback of `ChunkedKVCache` (Llama 4), which appends, and cuts what is older than a chunk off its front."""

from dataclasses import dataclass
from typing import Any, ClassVar

from mlx_lm.models.cache import ChunkedKVCache


@dataclass(frozen=True, slots=True)
class _Before:
    offset: int
    start_position: int
    keys: Any
    values: Any


class Chunked:
    """The front is cut by the offset before a pass, so within a pass the offset can be lowered again.

    Across passes it cannot: a later one may have cut what an earlier token, of the chunk before, still sees.
    """

    marks: ClassVar[bool] = True

    def __init__(self, cache: ChunkedKVCache) -> None:
        self._cache = cache

    def mark(self, count: int) -> _Before:
        """The arrays as they are: cutting and growing make new ones, and writing goes behind the offset."""
        cache = self._cache
        return _Before(cache.offset, cache.start_position, cache.keys, cache.values)

    def take_back(self, mark: _Before, count: int) -> None:
        """Return to `mark`."""
        cache = self._cache
        cache.offset, cache.start_position = mark.offset, mark.start_position
        cache.keys, cache.values = mark.keys, mark.values

    def drop(self, count: int) -> None:
        """Lower the offset; the next pass overwrites what lies behind it."""
        self._cache.offset -= count
