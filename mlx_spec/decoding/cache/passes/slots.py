"""A KVCache of a fixed size, as a model sees it during a pass whose graph does not depend on what is written in it.

All of the arrays are attended to, with what is not written masked, and the offset is an array.
"""

from typing import Final

import mlx.core as mx
from mlx_lm.models.cache import KVCache

from mlx_spec.decoding.cache.passes.placement import Placement, prefix_mask

_GROWS_BY: Final = 4


class Slots:
    """What a model sees of a KVCache while its pass is traced: all of the arrays, with what is not written masked."""

    def __init__(self, keys: mx.array, values: mx.array, offset: mx.array) -> None:
        self.keys, self.values, self.offset = keys, values, offset
        self._written = offset

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Write behind what is written; give everything."""
        self.keys = mx.slice_update(self.keys, keys, self._written, axes=(2,))
        self.values = mx.slice_update(self.values, values, self._written, axes=(2,))
        return self.keys, self.values

    def make_mask(self, count: int, return_array: bool = False, window_size: int | None = None) -> mx.array:
        """`[count, size]`: each token sees those before it and itself, as far as a window lets it."""
        places = mx.arange(self.keys.shape[2])[None]
        rows = (mx.arange(count) + self.offset)[:, None]
        mask = places <= rows
        return mask if window_size is None else mask & (places > rows - window_size)


class PlacedSlots(Slots):
    """The same in a pass over a tree, whose tokens stand where `placement` says: `at` these positions."""

    def __init__(self, keys: mx.array, values: mx.array, offset: mx.array, placement: Placement, at: mx.array) -> None:
        super().__init__(keys, values, offset)
        self._placement, self._prefix = placement, offset - placement.earlier
        self.offset = at

    def make_mask(self, count: int, return_array: bool = False, window_size: int | None = None) -> mx.array:
        """`[count, size]`: the text, and of the tree what each token may see."""
        text = prefix_mask(mx.arange(self.keys.shape[2]), self.offset, self._prefix, window_size)
        return mx.slice_update(text, self._placement.within(window_size), self._prefix, axes=(1,))


def growth(size: int, needed: int, step: int) -> int:
    """By how much arrays of `size` tokens grow to hold those that are needed."""
    return 0 if needed <= size else -(-max(needed - size, size // _GROWS_BY) // step) * step


def make_room(cache: KVCache, count: int) -> None:
    """Grow the arrays where `count` more tokens do not fit: in the cache's own steps, and by a quarter of what they
    hold where that is more, as each size has its own graphs."""
    more = growth(cache.keys.shape[2], cache.offset + count, cache.step)
    if not more:
        return
    for name in ("keys", "values"):
        array = getattr(cache, name)
        batch, heads, _, width = array.shape
        grown = mx.concatenate([array, mx.zeros((batch, heads, more, width), dtype=array.dtype)], axis=2)
        setattr(cache, name, grown)
