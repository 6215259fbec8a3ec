"""What a model's code sees of many answers' caches during one pass over the rows of all of them.

The rows stand side by side, as one sequence. What each answer has for itself (keys, masks, states) is handed around
`Apart`: a model that only hands it on, to its attention or to a module that is called for each answer, never notices.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import (
    CacheList,
    ConcatenateKVCache,
    KVCache,
    QuantizedKVCache,
    RotatingKVCache,
)

from mlx_spec.decoding.cache.passes.attention import attend
from mlx_spec.decoding.cache.passes.paged import BlockCache
from mlx_spec.decoding.cache.passes.paged_keys import BlockKeys, attend_together
from mlx_spec.decoding.cache.passes.placement import PlacedCache
from mlx_spec.decoding.cache.passes.shared_slots import SharedLayer
from mlx_spec.decoding.cache.passes.slots import Slots

ATTENDED: Final = (
    *(KVCache, QuantizedKVCache, ConcatenateKVCache, RotatingKVCache),
    *(PlacedCache, Slots, SharedLayer, BlockCache),
)
"""The kinds whose keys and values a model does nothing with but attend to them, as a rule."""


class Rows:
    """How the rows of a pass are divided: `counts` of them for each answer, and the `positions` `[total]` of all, which
    are asked of the caches where they are not given."""

    def __init__(self, counts: Sequence[int], positions: mx.array | None = None) -> None:
        self.counts = tuple(counts)
        self.total = sum(counts)
        self._cuts = list(accumulate(self.counts))[:-1]
        self._known = positions
        self._positions: dict[tuple[Any, ...], mx.array] = {}

    def split(self, array: mx.array, axis: int) -> list[mx.array]:
        """Each answer's part of an array that has all rows along `axis`."""
        if len(self.counts) == 1 and array.shape[axis] == self.total:
            return [array]
        if array.shape[axis] != self.total:
            raise ValueError(f"{array.shape[axis]} rows where the answers have {self.total}")
        return list(mx.split(array, self._cuts, axis=axis))

    def parts(self, value: Any) -> Sequence[Any]:
        """Each answer's part of what a model hands around; what has no rows is the same for all."""
        if isinstance(value, Apart):
            return value.parts
        if isinstance(value, list):
            return [list(each) for each in zip(*(self.parts(one) for one in value), strict=True)]
        if isinstance(value, mx.array) and value.ndim >= 2 and value.shape[:2] == (1, self.total):
            return self.split(value, axis=1)
        return (value,) * len(self.counts)

    def joined(self, parts: Sequence[Any]) -> Any:
        """What has a part for each answer as one, as it would be for a single sequence; the inverse of `parts`."""
        first = parts[0]
        if isinstance(first, tuple | list):
            return type(first)(self.joined(each) for each in zip(*parts, strict=True))
        if isinstance(first, mx.array) and [part.shape[:2] for part in parts] == [(1, count) for count in self.counts]:
            return mx.concatenate(list(parts), axis=1)
        return Apart.unless_alike(parts)

    def positions(self, caches: Sequence[Any]) -> mx.array:
        """`[total]` (int32): where each row stands. The same array for layers that stand at the same place."""
        if self._known is not None:
            return self._known
        key = tuple(cache.place if isinstance(cache, PlacedCache) else cache.offset for cache in caches)
        if key not in self._positions:
            self._positions[key] = self._counted(caches)
        return self._positions[key]

    def _counted(self, caches: Sequence[Any]) -> mx.array:
        offsets = [cache.offset for cache in caches]
        if not any(isinstance(offset, mx.array) for offset in offsets):
            ranges = [np.arange(at, at + count) for at, count in zip(offsets, self.counts, strict=True)]
            return mx.array(np.concatenate(ranges).astype(np.int32))
        places = zip(offsets, self.counts, strict=True)
        return mx.concatenate([at if isinstance(at, mx.array) else mx.arange(at, at + n) for at, n in places])


class Apart:
    """Something of each answer's own, in order."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = tuple(parts)

    @classmethod
    def unless_alike(cls, parts: Sequence[Any]) -> Any:
        """The one thing that all have, where that is None or a name."""
        if all(one is None for one in parts):
            return None
        named = all(isinstance(one, str) for one in parts) and len(set(parts)) == 1
        return parts[0] if named else cls(parts)


class ApartKeys(Apart):
    """Each answer's keys: each attends to its own, by the mask of its own."""

    def __init__(self, parts: Sequence[Any], caches: Sequence[Any], rows: Rows) -> None:
        super().__init__(parts)
        self._caches, self._rows = caches, rows

    def attend(
        self, queries: mx.array, values: Any, *, cache: Any, scale: float, mask: Any, sinks: mx.array | None
    ) -> mx.array:
        """See `Fetched`."""
        if not isinstance(values, Apart) or len(values.parts) != len(self.parts):
            raise TypeError("keys of each answer's own, but not values")
        masks = mask.parts if isinstance(mask, Apart) else (mask,) * len(self.parts)
        caches = self._caches if cache is not None else (None,) * len(self.parts)
        if all(isinstance(part, BlockKeys) and part.layer is self.parts[0].layer for part in self.parts):
            return attend_together(
                self.parts, queries, self._rows.counts, values=values.parts, scale=scale, masks=masks, sinks=sinks
            )
        if len(self.parts) == 1:
            return attend(queries, self.parts[0], values.parts[0], caches[0], scale, masks[0], sinks)
        queried = self._rows.split(queries, axis=2)
        each = zip(queried, self.parts, values.parts, caches, masks, strict=True)
        found = [attend(q, k, v, c, scale, m, sinks) for q, k, v, c, m in each]
        return mx.concatenate(found, axis=2)


class ApartCache(Apart):
    """The caches of one layer, one of each answer, in the place of the layer's cache."""

    def __init__(self, caches: Sequence[Any], rows: Rows) -> None:
        super().__init__(caches)
        self._rows = rows

    @property
    def offset(self) -> mx.array:
        """The position of each row."""
        return self._rows.positions(self.parts)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[ApartKeys, Apart]:
        """Store each answer's rows in its own cache; give what each has there."""
        each = zip(self.parts, self._rows.split(keys, 2), self._rows.split(values, 2), strict=True)
        fetched = [cache.update_and_fetch(k, v) for cache, k, v in each]
        every_key, every_value = zip(*fetched, strict=True)
        return ApartKeys(every_key, self.parts, self._rows), Apart(every_value)

    def make_mask(self, count: int, *args: Any, **kwargs: Any) -> Any:
        """Each answer's mask for its own rows."""
        if count != self._rows.total:
            raise ValueError(f"a mask for {count} rows where there are {self._rows.total}")
        each = zip(self.parts, self._rows.counts, strict=True)
        return Apart.unless_alike([cache.make_mask(rows, *args, **kwargs) for cache, rows in each])

    def __getitem__(self, index: int) -> Apart:
        held = [cache[index] for cache in self.parts]
        return ApartCache(held, self._rows) if isinstance(self.parts[0], CacheList) else Apart(held)

    def __setitem__(self, index: int, value: Any) -> None:
        for cache, part in zip(self.parts, self._rows.parts(value), strict=True):
            cache[index] = part

    @property
    def is_attended(self) -> bool:
        """Whether a model only attends to what it holds, as a rule."""
        return isinstance(self.parts[0], ATTENDED)

    def keys_and_values(self) -> tuple[ApartKeys, Apart]:
        """What each has, for layers that attend to the keys of another."""
        every_key, every_value = zip(*(cache.keys_and_values() for cache in self.parts), strict=True)
        return ApartKeys(every_key, self.parts, self._rows), Apart(every_value)
