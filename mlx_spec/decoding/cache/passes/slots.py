"""What a model sees of a cache while its pass is traced, and the arrays that go in and out of such a pass.

A `KVCache` holds two arrays, keys and values; a `QuantizedKVCache` three for each: codes, scales and biases.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import mlx.core as mx

from mlx_spec.decoding.cache.passes.placement import Placement, prefix_mask

Held: TypeAlias = "mx.array | tuple[mx.array, ...]"
Few: TypeAlias = tuple[int, int]
"""Group size and bits of a `QuantizedKVCache`."""

_DRAWN: Final = 256


class Places:
    """Where the tokens of a pass stand that are written from `begins` on into arrays with room for `size`: at `offset`
    and behind it. What is not written is masked."""

    def __init__(self, size: int, begins: mx.array) -> None:
        self.size, self.begins = size, begins

    @property
    def offset(self) -> mx.array:
        """The position of the first token; of each, where they do not follow one another."""
        return self.begins

    def of(self, count: int) -> mx.array:
        """The position `[count]` of each token."""
        return mx.arange(count) + self.begins

    def mask(self, count: int, window_size: int | None) -> mx.array:
        """`[count, size]`: each token sees those before it and itself, as far as a window lets it."""
        places = mx.arange(self.size)[None]
        rows = (mx.arange(count) + self.begins)[:, None]
        mask = places <= rows
        return mask if window_size is None else mask & (places > rows - window_size)


class TreePlaces(Places):
    """The same in a pass over a tree, whose tokens stand where `placement` says."""

    def __init__(self, size: int, begins: mx.array, placement: Placement) -> None:
        super().__init__(size, begins)
        self._placement, self._prefix = placement, begins - placement.earlier
        self._at = placement.depths + self._prefix

    @property
    def offset(self) -> mx.array:
        """The position of each token."""
        return self._at

    def of(self, count: int) -> mx.array:
        """The position of each token."""
        return self._at

    def mask(self, count: int, window_size: int | None) -> mx.array:
        """`[count, size]`: the text, and of the tree what each token may see."""
        text = prefix_mask(mx.arange(self.size), self._at, self._prefix, window_size)
        return mx.slice_update(text, self._placement.within(window_size), self._prefix, axes=(1,))


def places_of(size: int, begins: mx.array, placement: Placement | None) -> Places:
    """Those of a chain, or of a tree."""
    return Places(size, begins) if placement is None else TreePlaces(size, begins, placement)


class Slots:
    """All of a cache's arrays, in which the tokens of a pass have their `places`. `few` is None where they hold keys
    and values as they are."""

    def __init__(self, arrays: Sequence[mx.array], places: Places, few: Few | None) -> None:
        self.keys, self.values = _halves(arrays)
        self.places = places
        if few is not None:
            self.group_size, self.bits = few  # mlx-lm's attention asks for them, and takes triplets where they are

    @property
    def offset(self) -> mx.array:
        """See `Places`."""
        return self.places.offset

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[Held, Held]:
        """Write behind what is written; give everything."""
        self.keys, self.values = self._with(self.keys, keys), self._with(self.values, values)
        return self.keys, self.values

    def make_mask(self, count: int, return_array: bool = False, window_size: int | None = None) -> mx.array:
        """See `Places`."""
        return self.places.mask(count, window_size)

    def _with(self, held: Held, new: mx.array) -> Held:
        if isinstance(held, mx.array):
            return mx.slice_update(held, new, self.places.begins, axes=(2,))
        parts = mx.quantize(new, group_size=self.group_size, bits=self.bits)
        pairs = zip(held, parts, strict=True)
        return tuple(mx.slice_update(array, part, self.places.begins, axes=(2,)) for array, part in pairs)


def held(cache: Any) -> tuple[mx.array, ...]:
    """The arrays of a cache or of slots: those of the keys, then as many of the values."""
    keys, values = cache.keys, cache.values
    return (keys, values) if isinstance(keys, mx.array) else (*keys, *values)


def hold(cache: Any, arrays: Sequence[mx.array]) -> None:
    """Give a cache other arrays, in the order of `held`."""
    cache.keys, cache.values = _halves(arrays)


def few_of(cache: Any) -> Few | None:
    """How a cache keeps its numbers; None as they are."""
    return (cache.group_size, cache.bits) if hasattr(cache, "bits") else None


def size_for(tokens: int, step: int) -> int:
    """For how many tokens arrays have room that hold so many: a multiple of the cache's own step, and about a quarter
    more than a power of two, a half, and so on. Each size has its own graphs, and sums of its own where a product is
    cut up by it: so there are few sizes, which depend on the length of a text and not on how it was read."""
    quarter = 1 << max(0, (tokens - 1).bit_length() - 3)
    unit = -(-quarter // step) * step
    return -(-tokens // unit) * unit


def make_room(cache: Any, count: int) -> None:
    """Grow the arrays where `count` more tokens do not fit."""
    arrays, needed = held(cache), cache.offset + count
    if needed > (size := arrays[0].shape[2]):
        more = size_for(needed, cache.step) - size
        hold(cache, [mx.concatenate([array, empty(array, more)], axis=2) for array in arrays])


def empty(array: mx.array, size: int) -> mx.array:
    """Zeros like an array of a cache, for `size` tokens."""
    batch, heads, _, width = array.shape
    return mx.zeros((batch, heads, size, width), dtype=array.dtype)


def make_up(cache: Any, count: int, seed: int) -> None:
    """Have a cache that holds something hold `count` tokens that were never read instead, the same for each seed."""
    arrays, few = held(cache), few_of(cache)
    batch, heads = arrays[0].shape[:2]
    half = len(arrays) // 2
    made_up = []
    for number, array in enumerate((arrays[0], arrays[half])):
        width = array.shape[3] if few is None else array.shape[3] * 32 // few[1]
        normal = made_up_tokens((batch, heads, count, width), 2 * seed + number)
        made_up.append(normal.astype(arrays[half - 1].dtype))  # of triplets the last are biases, in the model's own
    cache.keys = cache.values = None
    cache.offset = 0
    cache.update_and_fetch(*made_up)


def made_up_tokens(shape: tuple[int, int, int, int], seed: int) -> mx.array:
    """Keys or values `[batch, heads, tokens, width]` of no text, the same for each seed. A few are drawn, and repeated:
    to draw all of a long context takes longer than passes over it."""
    batch, heads, count, width = shape
    drawn = mx.random.normal((batch, heads, _DRAWN, width), key=mx.random.key(seed))
    return mx.tile(drawn, (1, 1, -(-count // _DRAWN), 1))[:, :, :count]


def _halves(arrays: Sequence[mx.array]) -> tuple[Held, Held]:
    half = len(arrays) // 2
    return (arrays[0], arrays[1]) if half == 1 else (tuple(arrays[:half]), tuple(arrays[half:]))
