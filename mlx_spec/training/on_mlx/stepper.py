"""The target in MLX as a sampler's `Stepper`: the default, and the one for Apple Silicon."""

from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray


class RowCache:
    """Keys and values of one layer for many dialogues, each at its own position; has the face of an mlx-lm cache."""

    def __init__(self, rows: int, capacity: int) -> None:
        self.offset: mx.array = mx.zeros(rows, mx.int32)
        self._capacity = capacity
        self._keys: mx.array | None = None
        self._values: mx.array | None = None

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Put keys and values `[rows, heads, 1, head_dim]` at each row's offset; give the whole cache."""
        if self._keys is None or self._values is None:
            shape = (*keys.shape[:2], self._capacity, keys.shape[-1])
            self._keys, self._values = mx.zeros(shape, keys.dtype), mx.zeros(shape, values.dtype)
        place = mx.broadcast_to(self.offset[:, None, None, None], keys.shape)
        self._keys = mx.put_along_axis(self._keys, place, keys, axis=2)
        self._values = mx.put_along_axis(self._values, place, values, axis=2)
        return self._keys, self._values

    def make_mask(self, *_: Any, **__: Any) -> mx.array:
        """Which places each row may see `[rows, 1, 1, capacity]`: its own past and the token just fed."""
        return (mx.arange(self._capacity) <= self.offset[:, None])[:, None, None]


class MlxStepper:
    """`rows` dialogues of at most `capacity` tokens, for an mlx-lm llama."""

    def __init__(self, model: nn.Module, rows: int, capacity: int, seed: int) -> None:
        self._model = model
        self._cache = [RowCache(rows, capacity) for _ in model.layers]
        self._key = mx.random.key(seed)

    def step(
        self, ids: NDArray[np.int64], positions: NDArray[np.int64], temperatures: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
        """See `Stepper.step`."""
        for layer in self._cache:
            layer.offset = mx.array(positions.astype(np.int32))
        hidden = self._model.model(mx.array(ids)[:, None], cache=self._cache)[:, 0]
        logits = self._model.model.embed_tokens.as_linear(hidden).astype(mx.float32)
        self._key, key = mx.random.split(self._key)
        # Gumbel's trick, scaled the other way round so that temperature 0 needs no case of its own.
        chosen = mx.argmax(logits + mx.array(temperatures)[:, None] * mx.random.gumbel(logits.shape, key=key), axis=-1)
        bits = hidden.astype(mx.bfloat16).view(mx.uint16)
        mx.eval(chosen, bits, self._key)
        return np.array(chosen).astype(np.int64), np.array(bits)
