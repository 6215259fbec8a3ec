"""The caches that an answer begins with: mlx-lm's own, or with keys and values in fewer bits from the first token on.

Whether a model can attend to such keys and values is tried once for each model, never assumed: its attention may be of
its own (mlx-lm's gemma2, and latent attention), may have sinks (gpt_oss), or share keys between layers (afm7).
"""

import logging
import weakref
from typing import Any, Final, cast

import mlx.core as mx
from mlx_lm.models.cache import KVCache, QuantizedKVCache, make_prompt_cache

from mlx_spec.decoding.cache.agreement import finite, within_rounding
from mlx_spec.decoding.cache.trials import go, judged, trial
from mlx_spec.errors import UnsupportedModelError
from mlx_spec.models.kv_bits import GROUP_SIZES, group_size, replaced
from mlx_spec.models.splitting.order import in_order

# A prompt, a single step, and several tokens at once: the masks differ.
_PASSES: Final = ([1, 2, 3, 4, 5], [2], [4, 3, 3])
_TRIED_BITS: Final = 8

_GROUPS: Final[dict[int, "tuple[int, ...] | _Refusal"]] = {}

logger = logging.getLogger(__name__)


class _Refusal:
    """Why a model takes no keys and values in fewer bits: a sentence without its beginning, and details."""

    def __init__(self, reason: str, details: str = "") -> None:
        self.reason, self.details = reason, details


def make_caches(model: Any, name: str, kv_bits: int | None = None) -> list[Any]:
    """Empty caches for a model. With `kv_bits` its KVCaches keep each key and value in so many bits.

    Raises UnsupportedModelError, which calls the model `name`, where it cannot take such caches.
    """
    caches = make_prompt_cache(model)
    if kv_bits is None:
        return cast(list[Any], caches)
    sizes = iter(_groups(model, name))
    return replaced(caches, lambda cache: QuantizedKVCache(group_size=next(sizes), bits=kv_bits))


def check_kv_bits(model: Any, name: str, kv_bits: int | None) -> None:
    """Raise UnsupportedModelError where `make_caches` would."""
    if kv_bits is not None:
        _groups(model, name)


def _groups(model: Any, name: str) -> tuple[int, ...]:
    """The group size of each KVCache of a model, in order."""
    key = id(model)
    if key not in _GROUPS:
        with trial(model, "kv_bits"):
            _GROUPS[key] = _try(model)
        weakref.finalize(model, _GROUPS.pop, key, None)
    found = _GROUPS[key]
    if isinstance(found, _Refusal):
        raise UnsupportedModelError(
            f"{name} cannot be answered with --kv-bits (kv_bits), as {found.reason}: leave it out.",
            details=found.details,
        )
    return found


def _try(model: Any) -> "tuple[int, ...] | _Refusal":
    # An ordinary pass: what it raises is a fault of the model, which answers would meet too. It is never computed.
    caches = make_prompt_cache(model)
    _rows(model, _PASSES[0], caches)
    held: list[KVCache] = []
    replaced(caches, lambda cache: held.append(cache) or cache)  # type: ignore[func-returns-value]
    if not held:
        return _Refusal("it keeps windows, chunks or states only, which stay as they are")
    sizes = [group_size(cache) for cache in held]
    for cache, size in zip(held, sizes, strict=True):
        if size is None:
            widths = " and ".join(map(str, dict.fromkeys((cache.keys.shape[-1], cache.values.shape[-1]))))
            return _Refusal(f"its heads are {widths} wide, which is no multiple of {min(GROUP_SIZES)}")
    groups = tuple(size for size in sizes if size is not None)
    return _disagreement(model, groups) or groups


def _disagreement(model: Any, groups: tuple[int, ...]) -> _Refusal | None:
    """What is wrong with a model's passes over such caches; None where they say what passes over keys and values say
    that were rounded to so many bits, and are stored as ever."""
    sizes = iter(groups)
    rounded = replaced(make_prompt_cache(model), lambda cache: _Rounded(next(sizes)))
    others = iter(groups)
    few = replaced(make_prompt_cache(model), lambda cache: QuantizedKVCache(next(others), _TRIED_BITS))
    for token_ids in _PASSES:
        expected = _rows(model, token_ids, rounded)
    try:
        for token_ids in _PASSES:
            logits = _rows(model, token_ids, few)
        mx.eval(logits, expected)
    except Exception as error:
        # The model's own code, which is not ours, is given triplets in the place of keys and values. So anything may
        # come: ValueError from mlx-lm where attention has sinks, AttributeError or TypeError where it is its own.
        logger.info("%s takes no keys and values in fewer bits.", type(model).__name__, exc_info=True)
        judged(model, False)
        return _Refusal("its attention does not read keys and values in fewer bits", repr(error))
    # What attends to other keys differs by something like what two tokens' rows differ by.
    dtype, (expected, logits) = logits.dtype, (finite(rows) for rows in (expected, logits))
    off, difference = mx.max(mx.abs(logits - expected)), mx.max(mx.abs(expected[0] - expected[1]))
    if not judged(model, within_rounding(off, difference, dtype)):
        return _Refusal("its attention makes something else of keys and values in fewer bits")
    return None


def _rows(model: Any, token_ids: list[int], caches: list[Any]) -> mx.array:
    """Logits `[n, vocab]` of an ordinary pass, lazily."""
    with in_order(model):
        logits = cast(mx.array, model(mx.array([token_ids]), cache=caches)[0])
    go(model, logits)
    return logits


class _Rounded(KVCache):  # type: ignore[misc]
    """A KVCache whose keys and values went through `_TRIED_BITS` and back."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """As mlx-lm's."""
        keys, values = (self._there_and_back(array) for array in (keys, values))
        return cast(tuple[mx.array, mx.array], super().update_and_fetch(keys, values))

    def _there_and_back(self, array: mx.array) -> mx.array:
        parts = mx.quantize(array, group_size=self._size, bits=_TRIED_BITS)
        return mx.dequantize(*parts, group_size=self._size, bits=_TRIED_BITS).astype(array.dtype)
