"""The rotary embeddings of a model, replaced while a pass is built: no model's code is copied."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn


class Rotations:
    """The rotary embeddings of a model, found once."""

    def __init__(self, model: Any) -> None:
        self._places = [
            (module, key)
            for module in model.modules()
            for key, child in module.items()
            if ("rope" in key or "rotary" in key) and callable(child)
        ]

    @contextmanager
    def by_token(self) -> Iterator[None]:
        """Build a pass inside, in which `offset` may be an array `[m]`: a position for each token."""
        with self._replaced(_ByToken):
            yield

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Build a pass inside that takes its cosines and sines once. MLX's CPU backend takes them anew in every layer,
        a sixth of all operations of a pass; on a GPU a rotation is one kernel, and stays."""
        angles: dict[_Key, _Angles] = {}
        on_gpu = mx.default_device() == mx.Device(mx.gpu)

        def stand_in(rotation: Any) -> Any:
            plain = type(rotation) is nn.RoPE and not rotation.traditional
            return _ByTable(rotation, angles) if plain and not on_gpu else rotation

        with self._replaced(stand_in):
            yield

    @contextmanager
    def _replaced(self, stand_in: Callable[[Any], Any]) -> Iterator[None]:
        originals = [module[key] for module, key in self._places]
        for (module, key), original in zip(self._places, originals, strict=True):
            dict.__setitem__(module, key, stand_in(original))
        try:
            yield
        finally:
            for (module, key), original in zip(self._places, originals, strict=True):
                dict.__setitem__(module, key, original)


class _ByToken:
    """A rotary embedding that takes an offset a token: MLX takes one a batch row, so the tokens become rows."""

    def __init__(self, rotation: Any) -> None:
        self._rotation = rotation

    def __call__(self, x: mx.array, offset: Any = 0, **kwargs: Any) -> mx.array:
        if not isinstance(offset, mx.array) or x.shape[0] != 1 or x.shape[2] != offset.size:
            raise ValueError("this model counts positions itself")
        # [1, heads, m, width] to [m, heads, 1, width] and back.
        return cast(mx.array, self._rotation(x.transpose(2, 1, 0, 3), offset=offset, **kwargs).transpose(2, 1, 0, 3))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rotation, name)


_Key = tuple[int, int, int, float, float]


@dataclass(frozen=True, slots=True)
class _Angles:
    """Cosines and sines `[m, dims / 2]`, and the offset that they are of."""

    offset: Any
    cosines: mx.array
    sines: mx.array


class _ByTable:
    """An `nn.RoPE` whose angles all layers of a pass share."""

    def __init__(self, rotation: nn.RoPE, angles: dict[_Key, _Angles]) -> None:
        self._rotation, self._angles = rotation, angles

    def __call__(self, x: mx.array, offset: Any = 0) -> mx.array:
        half, angles = self._rotation.dims // 2, self._of(x.shape[-2], offset)
        one, other = x[..., :half], x[..., half : 2 * half]
        turned = one * angles.cosines - other * angles.sines, one * angles.sines + other * angles.cosines
        parts = [part.astype(x.dtype) for part in turned]
        return mx.concatenate(parts if x.shape[-1] == 2 * half else [*parts, x[..., 2 * half :]], axis=-1)

    def _of(self, count: int, offset: Any) -> _Angles:
        rotation = self._rotation
        key = id(offset), count, rotation.dims, rotation.base, rotation.scale
        if key not in self._angles:
            half = rotation.dims // 2
            frequencies = mx.exp(mx.arange(half, dtype=mx.float32) * (-math.log(rotation.base) / half))
            theta = ((mx.arange(count, dtype=mx.float32) + offset) * rotation.scale)[:, None] * frequencies
            self._angles[key] = _Angles(offset, mx.cos(theta), mx.sin(theta))
        return self._angles[key]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rotation, name)
