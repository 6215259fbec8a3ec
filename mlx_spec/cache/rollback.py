"""Exact rollback: after it, a rejected token has left no trace in the cache.

One policy per cache kind, chosen by type. This version knows the caches that only ever append (`KVCache`,
`QuantizedKVCache`, `ConcatenateKVCache`), where forgetting the newest entries is exact. Any other kind is an error that
names it: a sliding window overwrites what it would have to give back, and a recurrent state cannot be un-mixed.
"""

from collections.abc import Sequence
from typing import Any, Final

from mlx_lm.models.cache import ConcatenateKVCache, KVCache, QuantizedKVCache

from mlx_spec.errors import UnsupportedModelError

_APPEND_ONLY: Final = (KVCache, QuantizedKVCache, ConcatenateKVCache)


def check_rollback(caches: Sequence[Any], name: str) -> None:
    """Raise UnsupportedModelError, naming the kind, if any layer's cache cannot be rolled back exactly."""
    for cache in caches:
        # By exact type: a subclass may overwrite what its parent only appends.
        if type(cache) not in _APPEND_ONLY:
            raise UnsupportedModelError(
                f"{name} uses a {type(cache).__name__}, which this version cannot roll back exactly: "
                "use --drafter none for plain decoding."
            )


def rollback(caches: Sequence[Any], count: int) -> None:
    """Forget the newest `count` tokens of every layer's cache."""
    if count:
        for cache in caches:
            cache.trim(count)
