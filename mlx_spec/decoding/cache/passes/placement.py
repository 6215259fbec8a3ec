"""A pass over a tree: every token at the position of its depth, seeing the text and its own ancestors.

mlx-lm's models ask their cache where they are (`offset`, for the rotary embedding) and what a token may see
(`make_mask`). For a pass over a tree a stand-in answers in the cache's place, and one around each rotary embedding
(`stand_ins.py`) rotates every token by its own position; so no model's code is copied, and a chain's pass is not
touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import mlx.core as mx
from mlx_lm.models.cache import ConcatenateKVCache, KVCache, QuantizedKVCache, RotatingKVCache

TREE_CACHES: Final[tuple[type, ...]] = (KVCache, QuantizedKVCache, ConcatenateKVCache, RotatingKVCache)
"""The kinds that can hold a tree: their keys and values can be chosen from afterwards, and their masks replaced."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the m tokens of a pass stand, behind a text that is in the cache, and behind `earlier` tokens of the same
    tree, which are in it too.

    `depths` `[m]` count from the first position behind the text, `key_depths` `[earlier + m]` likewise for all
    tokens of the tree in the order they are stored; `seen` `[m, earlier + m]` (bool) is what each
    may attend to among them.
    """

    depths: mx.array
    key_depths: mx.array
    seen: mx.array

    @property
    def earlier(self) -> int:
        """Tokens of the tree that earlier passes stored."""
        return int(self.key_depths.shape[0] - self.depths.shape[0])

    def within(self, window: int | None) -> mx.array:
        """`seen`, as far as a sliding window lets it."""
        return self.seen if window is None else self.seen & (self.depths[:, None] - self.key_depths < window)


def prefix_mask(key_positions: mx.array, positions: mx.array, prefix: Any, window: int | None) -> mx.array:
    """What tokens at `positions` `[m]` see of keys at `key_positions` `[s]`: those of the text, as far as a window lets
    them, `[m, s]`. `prefix` is the length of the text."""
    mask = mx.broadcast_to(key_positions < prefix, (positions.shape[0], key_positions.shape[0]))
    return mask if window is None else mask & (positions[:, None] - key_positions < window)


class PlacedCache:
    """What a model sees of a cache during a pass over a tree."""

    def __init__(self, cache: Any, placement: Placement) -> None:
        self._cache, self._placement = cache, placement
        self._prefix = cache.offset - placement.earlier
        self.offset = placement.depths + self._prefix

    @property
    def place(self) -> tuple[int, int]:
        """The same for caches whose tokens stand at the same positions."""
        return id(self._placement), self._prefix

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> Any:
        """Store the tokens behind those that are there; give everything."""
        return self._cache.update_and_fetch(keys, values)

    def make_mask(self, count: int, return_array: bool = False, window_size: int | None = None) -> mx.array:
        """`[count, stored + earlier + count]`."""
        stored = self._prefix
        if type(self._cache) is RotatingKVCache:
            # A pass over several tokens leaves so many of the old ones in front of them, in temporal order.
            stored = min(self._cache.max_size - 1, self._prefix)
            window_size = min(window_size or self._cache.max_size, self._cache.max_size)
        key_positions = mx.arange(self._prefix - stored, self._prefix)
        text = prefix_mask(key_positions, self.offset, self._prefix, window_size)
        return mx.concatenate([text, self._placement.within(window_size)], axis=-1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)


def placed(caches: Sequence[Any], placement: Placement) -> list[PlacedCache]:
    """The stand-ins of a model's caches; a cache may know one of its own."""
    return [getattr(cache, "placed", partial(PlacedCache, cache))(placement) for cache in caches]
