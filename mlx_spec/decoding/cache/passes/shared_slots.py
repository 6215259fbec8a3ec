"""Keys and values of many answers in one array a layer, so that all their rows attend to them in one operation.

Each of the answers' caches holds a view of its row, as if it had arrays of its own: whoever reads or replaces them need
not know. The views go before a pass writes, and come anew behind it: so nobody else holds what it writes into, and it
is written in place. A cache whose arrays were replaced meanwhile is copied in again.
"""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import KVCache

from mlx_spec.decoding.cache.passes.attention import attend
from mlx_spec.decoding.cache.passes.slots import Places

Arrays = list[tuple[mx.array, mx.array]]
"""Keys and values, a layer each."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a pass are laid: `widest` for each of `size` answers, some of which nobody may have asked for.
    Behind `length` there is no key to see. `is_even`: they are laid so already, without a gap.

    `arrays` (int32) say of each row `[total]` whose it is, in which row of the answers' arrays, where its key is
    written there, and where it is laid; and of each place `[size * widest]` which row lies there.
    """

    size: int
    widest: int
    length: int
    is_even: bool
    arrays: tuple[mx.array, ...]

    COUNT: ClassVar = 4

    @property
    def row_of(self) -> mx.array:
        """`[total]`: the row of the answers' arrays that a row of the pass is of."""
        return self.arrays[0]

    @property
    def written(self) -> mx.array:
        """`[total]`: where the key of each row is written."""
        return self.arrays[1]

    def padded(self, rows: int) -> "Layout":
        """With the last row as often as it takes to be so many: it is read and written at the same places."""
        *by_row, spread = self.arrays
        return replace(self, arrays=(*(repeated(array, rows) for array in by_row), spread))

    def spread(self, array: mx.array, axis: int) -> mx.array:
        """An array with all rows along `axis`, with one for each place there."""
        return array if self.is_even else mx.take(array, self.arrays[3], axis=axis)

    def gathered(self, array: mx.array, axis: int) -> mx.array:
        """The inverse."""
        return array if self.is_even else mx.take(array, self.arrays[2], axis=axis)


def repeated(by_row: mx.array, rows: int) -> mx.array:
    """An array `[n]` with its last number as often as it takes to be so many."""
    missing = rows - by_row.shape[0]
    return mx.concatenate([by_row, mx.broadcast_to(by_row[-1:], (missing,))]) if missing else by_row


def layout_of(rows: Sequence[int], counts: Sequence[int], size: int, written: mx.array, length: int) -> Layout:
    """`counts` rows of a pass for each answer, whose caches are in row `rows` of `size`."""
    widest = max(counts)
    row_of = np.repeat(np.array(rows, dtype=np.int32), counts)
    back = row_of * widest + np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
    spread = np.zeros(size * widest, dtype=np.int32)
    spread[back] = np.arange(len(back), dtype=np.int32)
    is_even = np.array_equal(back, np.arange(size * widest))
    arrays = mx.array(row_of), written, mx.array(back), mx.array(spread)
    return Layout(size, widest, length, is_even, arrays)


class Seating:
    """What each row of a pass may see of its own answer's keys, in a `layout`. `places` and `counts` of the answers are
    asked where some of the rows are of trees; those of chains see what stands before them."""

    def __init__(self, layout: Layout, places: Sequence[Places] = (), counts: Sequence[int] = ()) -> None:
        self.layout = layout
        self._places, self._counts = places, counts
        self._masks: dict[int | None, mx.array] = {}

    @property
    def total(self) -> int:
        """Rows."""
        return self.layout.written.shape[0]

    def spread(self, array: mx.array) -> mx.array:
        """`[1, heads, total, width]` as `[size, heads, widest, width]`; what nobody asked for is anything."""
        _, heads, _, width = array.shape
        laid = self.layout.spread(array[0], axis=1)
        return laid.reshape(heads, self.layout.size, self.layout.widest, width).transpose(1, 0, 2, 3)

    def gathered(self, array: mx.array) -> mx.array:
        """The inverse of `spread`, without what nobody asked for."""
        _, heads, _, width = array.shape
        laid = array.transpose(1, 0, 2, 3).reshape(heads, self.layout.size * self.layout.widest, width)
        return self.layout.gathered(laid, axis=1)[None]

    def mask(self, window_size: int | None) -> mx.array:
        """`[size, 1, widest, length]`: what each row may see of its own answer's keys. Made once for all layers."""
        if window_size not in self._masks:
            laid = self.layout.spread(self._mask(window_size), axis=0)
            self._masks[window_size] = laid.reshape(self.layout.size, 1, self.layout.widest, -1)
        return self._masks[window_size]

    def _mask(self, window_size: int | None) -> mx.array:
        length = self.layout.length
        if self._places:
            each = zip(self._places, self._counts, strict=True)
            return mx.concatenate([places.mask(count, window_size) for places, count in each])[:, :length]
        keys, rows = mx.arange(length)[None], self.layout.written[:, None]
        return keys <= rows if window_size is None else (keys <= rows) & (keys > rows - window_size)


class SharedLayer:
    """What a model sees of the arrays of one layer, in the place of a cache, in a pass over the rows of `seating`."""

    def __init__(self, keys: mx.array, values: mx.array, seating: Seating) -> None:
        self.keys, self.values, self._seating = keys, values, seating

    @property
    def layout(self) -> Layout:
        """How the rows of the pass are laid."""
        return self._seating.layout

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> "tuple[SharedKeys, mx.array]":
        """Write each row behind what its answer has; give everything."""
        self.keys, self.values = self._written(self.keys, keys), self._written(self.values, values)
        return self.keys_and_values()

    def make_mask(self, count: int, return_array: bool = False, window_size: int | None = None) -> mx.array:
        """See `Seating.mask`."""
        if count != self._seating.total:
            raise ValueError(f"a mask for {count} rows where there are {self._seating.total}")
        return self._seating.mask(window_size)

    def keys_and_values(self) -> "tuple[SharedKeys, mx.array]":
        """What is there, for layers that attend to the keys of another too."""
        length = self.layout.length
        return SharedKeys(self.keys[:, :, :length], self._seating), self.values[:, :, :length]

    def _written(self, held: mx.array, new: mx.array) -> mx.array:
        layout = self.layout
        held[layout.row_of, :, layout.written] = new[0].transpose(1, 0, 2)
        return held


class SharedKeys:
    """The keys of all answers: each row attends to those of its own."""

    def __init__(self, keys: mx.array, seating: Seating) -> None:
        self._keys, self._seating = keys, seating

    def attend(
        self, queries: mx.array, values: Any, *, cache: Any, scale: float, mask: Any, sinks: mx.array | None
    ) -> mx.array:
        """See `Fetched`."""
        if not isinstance(mask, mx.array):
            raise TypeError("a mask that is not of the cache")
        found = attend(self._seating.spread(queries), self._keys, values, None, scale, mask, sinks)
        return self._seating.gathered(found)


class SharedSlots:
    """The arrays `[answers, heads, length, width]` of one length, a layer each, and whose the rows are."""

    def __init__(self) -> None:
        self._arrays: Arrays = []
        self._owners: list[list[weakref.ref[KVCache]]] = []
        self._views: list[Arrays] = []

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self._owners)

    def seat(self, every: Sequence[Sequence[KVCache]]) -> list[int]:
        """The row of each answer's caches, which are copied in where they are not; lazily.

        Rows of answers that are not among them stay, unless most would be idle.
        """
        held = {id(caches[0]): row for row, caches in self._held().items()}
        rows = [held.get(id(caches[0])) for caches in every]
        free = [row for row in range(self.size) if row not in held.values()]
        missing = [number for number, row in enumerate(rows) if row is None]
        if len(missing) > len(free) or self.size > 2 * len(every):
            self._build(every)
            return list(range(len(every)))
        if missing:
            self._put(dict(zip(free, (every[number] for number in missing), strict=False)))
            for number, row in zip(missing, free, strict=False):
                rows[number] = row
        return [row for row in rows if row is not None]

    @contextmanager
    def lent(self, seating: Seating) -> Iterator[list[SharedLayer]]:
        """What a pass sees inside, after which the caches hold what it wrote. Their offsets are not touched."""
        with self._unseen():
            layers = [SharedLayer(keys, values, seating) for keys, values in self._arrays]
            self._arrays = []
            try:
                yield layers
            finally:
                self._arrays = [(layer.keys, layer.values) for layer in layers]

    def let_go(self) -> None:
        """Leave each cache alone with what it holds."""
        self._arrays, self._owners, self._views = [], [], []

    def _build(self, every: Sequence[Sequence[KVCache]]) -> None:
        self._arrays = [
            (mx.concatenate([cache.keys for cache in layer]), mx.concatenate([cache.values for cache in layer]))
            for layer in zip(*every, strict=True)
        ]
        self._owners = [self._owner(caches) for caches in every]
        self._show(dict(enumerate(every)))

    def _put(self, new: Mapping[int, Sequence[KVCache]]) -> None:
        with self._unseen() as held:
            for row, caches in new.items():
                for (keys, values), cache in zip(self._arrays, caches, strict=True):
                    keys[row], values[row] = cache.keys[0], cache.values[0]
                self._owners[row] = self._owner(caches)
                held[row] = caches

    @contextmanager
    def _unseen(self) -> "Iterator[dict[int, Sequence[KVCache]]]":
        """Without any view of the arrays inside, so that they are written in place. Gives the caches of each row, which
        hold views again behind it."""
        held = self._held()
        for caches in held.values():
            for cache in caches:
                cache.keys = cache.values = None
        self._views = []
        try:
            yield held
        finally:
            self._show(held)

    def _show(self, held: Mapping[int, Sequence[KVCache]]) -> None:
        """Make a view of each row anew, and have these caches hold theirs."""
        split = [(mx.split(keys, self.size), mx.split(values, self.size)) for keys, values in self._arrays]
        self._views = [[(keys[row], values[row]) for keys, values in split] for row in range(self.size)]
        for row, caches in held.items():
            for cache, (keys, values) in zip(caches, self._views[row], strict=True):
                cache.keys, cache.values = keys, values

    def _held(self) -> dict[int, Sequence[KVCache]]:
        """The caches of the rows that still hold what they were shown."""
        held: dict[int, Sequence[KVCache]] = {}
        for row, views in enumerate(self._views):
            caches = [owner() for owner in self._owners[row]]
            each = zip(caches, views, strict=True)
            if all(c is not None and c.keys is keys and c.values is values for c, (keys, values) in each):
                held[row] = caches
        return held

    def _owner(self, caches: Sequence[KVCache]) -> "list[weakref.ref[KVCache]]":
        return [weakref.ref(caches[0], self._ended), *map(weakref.ref, caches[1:])]

    def _ended(self, _: object) -> None:
        """Hold nothing any more where all answers have ended."""
        if all(owner[0]() is None for owner in self._owners):
            self.let_go()
