"""Exact rollback: after it, a rejected token has left no trace in the cache.

One policy per cache kind, chosen by type. This version knows the caches that write at an offset (`KVCache`,
`QuantizedKVCache`), where lowering the offset is exact. Any other kind is an error that names it: a sliding window
overwrites what it would have to give back, a recurrent state cannot be un-mixed, and `ConcatenateKVCache`
lowers its offset but goes on behind the keys it was told to forget.
"""

from collections.abc import Sequence
from typing import Any, Final

from mlx_lm.models.cache import KVCache, QuantizedKVCache

from mlx_spec.errors import UnsupportedModelError

_APPEND_ONLY: Final = (KVCache, QuantizedKVCache)


def check_rollback(caches: Sequence[Any], name: str) -> None:
    """Raise UnsupportedModelError, naming the kind, if any layer's cache cannot be rolled back exactly."""
    for cache in caches:
        # By exact type: a subclass may overwrite what its parent only appends.
        if type(cache) not in _APPEND_ONLY:
            raise UnsupportedModelError(
                f"{name} uses a {type(cache).__name__}, which this version cannot roll back exactly: "
                "decode it without a draft (drafter none)."
            )


def rollback(caches: Sequence[Any], count: int) -> None:
    """Forget the newest `count` tokens of every layer's cache."""
    if count:
        for cache in caches:
            cache.trim(count)
