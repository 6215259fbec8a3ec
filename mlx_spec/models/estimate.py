"""What a model will take of memory, before it is loaded: out of its configuration and the size of its weights.

The caches' sizes are not a formula for each architecture: mlx-lm builds the model without computing anything, and
its caches tell. That holds for every architecture that mlx-lm has, sliding windows and recurrent states included.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.cache import CacheList, KVCache, RotatingKVCache, make_prompt_cache
from mlx_lm.utils import _get_classes

from mlx_spec.errors import UnsupportedModelError
from mlx_spec.models.files.config import parts_of
from mlx_spec.models.kv_bits import in_bits, replaced

_STEP: Final = 256  # mlx-lm's caches grow by so many tokens at a time
# Tokens that a pass over the prompt takes at once, as mlx-lm's default and more than the engine's own.
_PASS_TOKENS: Final = 512
_DTYPES: Final = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """What a model takes at a context of `context_tokens`: weights, caches, and what a pass needs for its results."""

    weights_bytes: int
    cache_bytes: int
    working_bytes: int
    context_tokens: int

    @property
    def resident_bytes(self) -> int:
        """What stays in memory between passes."""
        return self.weights_bytes + self.cache_bytes

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.cache_bytes + self.working_bytes


def is_supported(config: Mapping[str, Any]) -> bool:
    """Whether this mlx-lm has the architecture of `config`, a model's config.json or the part the Hub tells of it."""
    try:
        _get_classes(dict(config))
    except (ValueError, KeyError, AttributeError, SystemExit):  # olmo ends the process without a package of its own
        return False
    return True


def estimate(
    config: Mapping[str, Any],
    weights_bytes: int,
    context_tokens: int,
    *,
    in_float32: bool = False,
    kv_bits: int | None = None,
) -> MemoryEstimate:
    """Estimate what a model takes, without computing anything. May be called in any thread.

    `config` is a config.json as `with_rope` gives it, `weights_bytes` the size of its safetensors. `in_float32` says
    that quantised weights are unpacked to float32, as a draft's are on a CPU. With `kv_bits` keys and values take so
    many bits each, their scales and biases come on top. Raises UnsupportedModelError for a configuration that mlx-lm
    cannot build.
    """
    return _in_own_thread(lambda: _estimate(config, weights_bytes, context_tokens, in_float32, kv_bits))


def _estimate(
    config: Mapping[str, Any], weights_bytes: int, context_tokens: int, in_float32: bool, kv_bits: int | None
) -> MemoryEstimate:
    try:
        return _built_estimate(config, weights_bytes, context_tokens, in_float32, kv_bits)
    except (
        Exception,
        SystemExit,
    ) as error:  # the model's own code, on a configuration of which only a part may be known
        raise UnsupportedModelError(
            f"This version of mlx-lm cannot build a model of type {config.get('model_type')!r}.", details=repr(error)
        ) from error


def _built_estimate(
    config: Mapping[str, Any], weights_bytes: int, context_tokens: int, in_float32: bool, kv_bits: int | None
) -> MemoryEstimate:
    model_class, args_class = _get_classes(dict(config))
    # A copy, because some families write into what they are given.
    model = model_class(args_class.from_dict(copy.deepcopy(dict(config))))
    dtype = mx.float32 if in_float32 else _dtype(config)
    model.set_dtype(dtype)
    count = sum(array.size for _, array in tree_flatten(model.parameters()))
    caches = make_prompt_cache(model)
    logits = model(mx.zeros((1, _STEP), dtype=mx.int32), cache=caches)
    if kv_bits is not None:
        caches = replaced(caches, lambda cache: in_bits(cache, kv_bits))
    vocabulary = int(logits.shape[-1])
    hidden = _largest_row(config)
    return MemoryEstimate(
        weights_bytes=count * 4 if in_float32 else weights_bytes,
        cache_bytes=sum(_bytes_at(cache, context_tokens) for cache in _leaves(caches)),
        working_bytes=_PASS_TOKENS * 6 * hidden * dtype.size + vocabulary * 4 * 8,
        context_tokens=context_tokens,
    )


def _in_own_thread(work: Callable[[], T]) -> T:
    """A thread's arrays and streams end with it; a server's worker thread must not keep them until the process ends."""

    def run() -> T:
        try:
            return work()
        finally:
            # A stream that outlives its thread ends the process with an abort.
            mx.clear_streams()

    with ThreadPoolExecutor(1, thread_name_prefix="estimate") as pool:
        return pool.submit(run).result()


def _leaves(caches: list[Any]) -> Iterator[Any]:
    for cache in caches:
        if isinstance(cache, CacheList):
            yield from _leaves(list(cache.caches))
        else:
            yield cache


def _bytes_at(cache: Any, tokens: int) -> int:
    """What a cache that holds `_STEP` tokens now will take at `tokens`."""
    now = int(cache.nbytes)
    steps = -(-tokens // _STEP)
    if isinstance(cache, RotatingKVCache):
        held = int(cache.keys.shape[2])  # after one pass it may hold more than its window
        return int(now // held * min(tokens, cache.max_size))
    chunk = getattr(cache, "chunk_size", None)
    if chunk is not None:
        return now * min(steps, -(-int(chunk) // _STEP))
    if isinstance(cache, KVCache) or hasattr(cache, "offset"):
        return now * steps
    return now  # a recurrent state does not grow


def _dtype(config: Mapping[str, Any]) -> mx.Dtype:
    """The precision a model computes in; quantised weights keep that of their scales."""
    for place in parts_of(config):
        name = place.get("dtype") or place.get("torch_dtype")
        if isinstance(name, str):
            return _DTYPES.get(name, mx.bfloat16)
    return mx.bfloat16


def _largest_row(config: Mapping[str, Any]) -> int:
    """The widest activation of a token, roughly: the inner width of the feed-forward layers, or the hidden one."""
    names = ("intermediate_size", "hidden_size", "hidden_dim", "d_model", "ffn_hidden_size")
    widths = (place.get(name) for place in parts_of(config) for name in names)
    return max((width for width in widths if isinstance(width, int)), default=4096)
