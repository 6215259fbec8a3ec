"""Rollback of `RotatingKVCache`, the sliding window.

mlx-lm fills it in two ways. Several tokens at once are concatenated behind the newest `max_size - 1` of the old ones,
in temporal order: so many are left that cutting rejected ones off the end loses nothing a later token may see. A
single token is written in place, over the oldest one. (`RotatingKVCache.trim` only moves two counters: after it, the
forgotten keys stand where the oldest ones of a ring would, and are attended to.)
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import mlx.core as mx
from mlx_lm.models.base import create_causal_mask
from mlx_lm.models.cache import RotatingKVCache


@dataclass(frozen=True, slots=True)
class _Before:
    offset: int
    index: int
    keys: Any
    values: Any


class Ring:
    """`RotatingKVCache`, before and after it wrapped, with and without `keep`."""

    marks: ClassVar[bool] = True

    def __init__(self, cache: RotatingKVCache) -> None:
        self._cache = cache

    def mark(self, count: int) -> _Before:
        """The arrays as they are, which a pass over one token would overwrite.

        The price is that its write copies the ring. In a chain of lazy steps it does so anyway: MLX writes in place
        only where nothing that is still to run, like the attention of the step before, reads the same memory.
        """
        cache = self._cache
        keys, values = cache.keys, cache.values
        if keys is not None:
            # Other objects for the same memory: `cache.keys[...] = new` changes the object that stands in the cache.
            keys, values = mx.array(keys), mx.array(values)
        return _Before(cache.offset, cache._idx, keys, values)

    def take_back(self, mark: _Before, count: int) -> None:
        """Return to `mark`."""
        cache = self._cache
        cache.offset, cache._idx, cache.keys, cache.values = mark.offset, mark.index, mark.keys, mark.values

    def drop(self, count: int) -> None:
        """Cut the newest `count` tokens off the end: a pass over several left the ring in temporal order."""
        cache = self._cache
        kept = cache.keys.shape[2] - count
        cache.keys, cache.values = cache.keys[..., :kept, :], cache.values[..., :kept, :]
        cache.offset -= count
        cache._idx = kept

    def tree(self, count: int) -> tuple[list[mx.array], int]:
        """Keys and values: a pass over several tokens left the ring in temporal order."""
        return [self._cache.keys, self._cache.values], self._cache.keys.shape[2] - count

    def keep(self, arrays: list[mx.array], count: int, kept: int) -> None:
        """Cut off what lies behind what stays."""
        self._cache.keys, self._cache.values = arrays
        self.drop(count - kept)


class KeptMask:
    """The mask of a ring with `keep`, put in the place of its own: its first `keep` tokens stay visible.

    mlx-lm's masks a pass over several tokens by the place in the array alone, which hides the kept tokens first, though
    a pass over one token sees them. No model of mlx-lm's asks for `keep`; one that did would otherwise give other
    words when it is scored several tokens at a time.
    """

    def __init__(self, cache: RotatingKVCache) -> None:
        self._cache = cache
        self._own_mask = cache.make_mask

    def __call__(self, count: int, window_size: int | None = None, return_array: bool = False) -> Any:
        """The mask `[count, seen]` for a pass over `count` tokens; arguments and None as mlx-lm's."""
        cache = self._cache
        before = min(cache.max_size - 1, cache.offset)
        narrower = window_size is not None and window_size < cache.max_size
        if count == 1 or narrower or before + count <= cache.max_size:
            return self._own_mask(count, window_size, return_array)
        kept = mx.arange(before + count) < cache.keep
        causal = create_causal_mask(count, before)
        return causal & (kept | create_causal_mask(count, before, window_size=cache.max_size - cache.keep))
