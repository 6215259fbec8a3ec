"""One layer of each cache kind, with keys, values and states that tell every token and position apart.

Each runs by way of mlx-lm's caches, as a model's layer would, and from its definition in NumPy, without one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.base import create_attention_mask, scaled_dot_product_attention
from mlx_lm.models.cache import (
    ArraysCache,
    CacheList,
    ChunkedKVCache,
    ConcatenateKVCache,
    KVCache,
    QuantizedKVCache,
    RotatingKVCache,
)

WIDTH = 64  # the smallest head that both group sizes of a quantised cache divide
HEADS = 2
TOKENS = 50
LENGTH = 160
SIZE = 8  # of windows and chunks


class Attention:
    """One attention layer without weights; `visible[i, j]`: whether position i sees position j, by definition."""

    def __init__(self, visible: np.ndarray) -> None:
        rng = np.random.default_rng(5)
        self.visible = np.tril(visible)
        self.by_token = rng.standard_normal((TOKENS, 3, HEADS, WIDTH)).astype(np.float32)
        self.by_position = rng.standard_normal((LENGTH, 3, HEADS, WIDTH)).astype(np.float32)

    def _projected(self, token_ids: mx.array, start: int) -> list[mx.array]:
        """Queries, keys and values, each `[1, heads, n, width]`."""
        positions = mx.array(self.by_position[start : start + token_ids.shape[0]])
        rows = mx.array(self.by_token)[token_ids] + positions
        return [rows[:, i].swapaxes(0, 1)[None] for i in range(3)]

    def cached(self, token_ids: mx.array, cache: Any) -> mx.array:
        """Output `[n, width]` by way of the cache, as mlx-lm's models call it."""
        start, count = cache.offset, token_ids.shape[0]
        queries, keys, values = self._projected(token_ids, start)
        if isinstance(cache, ChunkedKVCache):  # has no mask of its own: as in mlx-lm's llama4
            cache.maybe_trim_front()
            mask: Any = mx.array(self.visible[start : start + count, cache.start_position : start + count])
        else:
            mask = create_attention_mask(queries[0], cache)
        keys, values = cache.update_and_fetch(keys, values)
        out = scaled_dot_product_attention(queries, keys, values, cache, scale=WIDTH**-0.5, mask=mask)
        return out[0].sum(axis=0)

    def defined(self, token_ids: Sequence[int], quantised: tuple[int, int] | None = None) -> np.ndarray:
        """Output `[n, width]` for the whole text, from the definition."""
        count = len(token_ids)
        queries, keys, values = self._projected(mx.array(token_ids), 0)
        if quantised:
            keys, values = (mx.dequantize(*mx.quantize(x, *quantised), *quantised) for x in (keys, values))
        scores = np.array(queries[0] @ keys[0].swapaxes(1, 2)) * WIDTH**-0.5
        scores = np.where(self.visible[:count, :count], scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return (weights @ np.array(values[0])).sum(axis=0)


class Recurrence:
    """A decaying sum of what was read, and a short convolution: two states, as a Mamba layer has."""

    def __init__(self) -> None:
        self.by_token = np.random.default_rng(6).standard_normal((TOKENS, WIDTH)).astype(np.float32)

    def cached(self, token_ids: mx.array, cache: ArraysCache) -> mx.array:
        """Output `[n, width]`."""
        rows = mx.array(self.by_token)[token_ids]
        before = mx.zeros((1, WIDTH)) if cache[0] is None else cache[0]
        state = mx.zeros((WIDTH,)) if cache[1] is None else cache[1]
        out = []
        for row, previous in zip(rows, mx.concatenate([before, rows]), strict=False):
            state = 0.9 * state + row
            out.append(state - 0.5 * previous)
        cache[0], cache[1] = rows[-1:], state
        return mx.stack(out)

    def defined(self, token_ids: Sequence[int]) -> np.ndarray:
        """Output `[n, width]` for the whole text."""
        rows = self.by_token[list(token_ids)].astype(np.float64)
        out = []
        for i in range(len(rows)):
            state = sum(0.9 ** (i - j) * rows[j] for j in range(i + 1))
            out.append(state - (0.5 * rows[i - 1] if i else 0))
        return np.array(out)


_I, _J = np.arange(LENGTH)[:, None], np.arange(LENGTH)[None]
FULL = Attention(np.ones((LENGTH, LENGTH), dtype=bool))
SLIDING = Attention(_I - _J < SIZE)
SINKS = Attention((_I - _J < SIZE - 3) | (_J < 3))
CHUNKS = Attention(_I // SIZE == _J // SIZE)
STATE = Recurrence()


class Layer(nn.Module):
    """A model of these layers only; its "logits" are what they put out, side by side."""

    def __init__(self, parts: Sequence[Any], make_cache: Callable[[], list[Any]]) -> None:
        super().__init__()
        self._parts, self.make_cache = list(parts), make_cache

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        caches = cache[0].caches if isinstance(cache[0], CacheList) else cache
        return mx.concatenate(
            [part.cached(inputs[0], each) for part, each in zip(self._parts, caches, strict=True)], axis=-1
        )[None]

    def defined(self, token_ids: Sequence[int]) -> np.ndarray:
        """The whole text's "logits", from the definition."""
        return np.concatenate([part.defined(token_ids) for part in self._parts], axis=-1)


class Quantised(Attention):
    """Full attention over keys and values of less precision."""

    def __init__(self, group_size: int, bits: int) -> None:
        super().__init__(FULL.visible)
        self._precision = (group_size, bits)

    def defined(self, token_ids: Sequence[int], quantised: tuple[int, int] | None = None) -> np.ndarray:
        """As Attention's."""
        return super().defined(token_ids, self._precision)


KINDS: dict[str, Callable[[], Layer]] = {
    "kv": lambda: Layer([FULL], lambda: [KVCache()]),
    "quantised-64-8": lambda: Layer([Quantised(64, 8)], lambda: [QuantizedKVCache(64, 8)]),
    "quantised-32-4": lambda: Layer([Quantised(32, 4)], lambda: [QuantizedKVCache(32, 4)]),
    "concatenate": lambda: Layer([FULL], lambda: [ConcatenateKVCache()]),
    "rotating": lambda: Layer([SLIDING], lambda: [RotatingKVCache(SIZE)]),
    "rotating-keep": lambda: Layer([SINKS], lambda: [RotatingKVCache(SIZE, keep=3)]),
    "chunked": lambda: Layer([CHUNKS], lambda: [ChunkedKVCache(SIZE)]),
    "arrays": lambda: Layer([STATE], lambda: [ArraysCache(2)]),
    "list": lambda: Layer([FULL, SLIDING], lambda: [CacheList(KVCache(), RotatingKVCache(SIZE))]),
    "list-recurrent": lambda: Layer([STATE, SLIDING], lambda: [CacheList(ArraysCache(2), RotatingKVCache(SIZE))]),
    "hybrid": lambda: Layer(
        [STATE, FULL, CHUNKS, FULL], lambda: [ArraysCache(2), KVCache(), ChunkedKVCache(SIZE), ConcatenateKVCache()]
    ),
}
