"""Keys and values in fewer bits: which of mlx-lm's caches can hold them so, and in groups of how many numbers.

A group of numbers beside each other shares a scale and a bias, in the model's own precision: 8 bits in groups of 64
are 8.5 bits a number in half precision, 9 in float32.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from mlx_lm.models.cache import CacheList, KVCache

GROUP_SIZES: Final = (64, 32)
"""The first that divides a head's width: mlx-lm's default, then the smallest that MLX has."""


def group_size(cache: KVCache) -> int | None:
    """In groups of how many a cache that holds something could keep its keys and values; None where no size fits."""
    widths = cache.keys.shape[-1], cache.values.shape[-1]
    return next((size for size in GROUP_SIZES if not any(width % size for width in widths)), None)


def in_bits(cache: KVCache, bits: int) -> Any:
    """A cache with what `cache` holds in so many bits, lazily; `cache` itself where it holds nothing, or nothing that
    could be kept so."""
    size = None if cache.keys is None else group_size(cache)
    return cache if size is None else cache.to_quantized(group_size=size, bits=bits)


def replaced(caches: Sequence[Any], stand_in: Callable[[Any], Any]) -> list[Any]:
    """The caches of a model with `stand_in(cache)` for each KVCache, those in a CacheList too. Windows, chunks and
    states, which mlx-lm has in full precision only, stay as they are."""

    def other(cache: Any) -> Any:
        if type(cache) is CacheList:
            return CacheList(*(other(one) for one in cache.caches))
        return stand_in(cache) if type(cache) is KVCache else cache

    return [other(cache) for cache in caches]
