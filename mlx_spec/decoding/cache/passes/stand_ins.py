"""Layers that stand in for a model's own while a pass is built: no model's code is copied.

On a GPU a rotation and a product are a kernel each. MLX's CPU backend makes 20 operations of the one and 4 of the
other, each of which costs the host some microseconds, so there a compiled pass is built from stand-ins with fewer.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn

Places = list[tuple[Any, str]]
"""Modules, and the names that they keep a layer under."""


class StandIns:
    """The layers of a model that others may stand in for, found once."""

    def __init__(self, model: Any) -> None:
        held = [(module, key, child) for module in model.modules() for key, child in module.items()]
        self._rotations = [(m, key) for m, key, child in held if _is_rotation(key, child)]
        self._linears = [(m, key) for m, key, child in held if type(child) is nn.Linear]
        self._products: dict[int, _Product] = {}

    @contextmanager
    def rotating_by_token(self, *, all_of_them: bool = True) -> Iterator[None]:
        """Build a pass inside, in which `offset` may be an array `[m]`: a position for each token. It has to be, unless
        not `all_of_them` are over the same tokens."""
        others = [(m, key) for m, key in self._rotations if type(m[key]) is not _ByTable]
        with _replaced(others, _ByToken if all_of_them else _ByTokenOrNot):
            yield

    @contextmanager
    def few_operations(self, *, rotations: bool) -> Iterator[None]:
        """Build a pass over one sequence inside, of fewer operations for a CPU: `rotations` shares the cosines and
        sines of all layers, by positions or by token. Products stay the same, angles but for their last digit."""
        if mx.default_device() == mx.Device(mx.gpu):
            yield
            return
        angles: dict[_Key, _Angles] = {}
        plain = [(m, key) for m, key in self._rotations if _is_plain(m[key])] if rotations else []
        linears = [(m, key) for m, key in self._linears if type(m[key]) is nn.Linear]
        with _replaced(plain, lambda rotation: _ByTable(rotation, angles)), _replaced(linears, self._product):
            yield

    def _product(self, linear: nn.Linear) -> "_Product":
        """The stand-in of a layer, made once for the same weights."""
        found = self._products.get(id(linear))
        if found is None or found.weight is not linear.weight:
            found = self._products[id(linear)] = _Product(linear)
        return found


@contextmanager
def _replaced(places: Places, stand_in: Callable[[Any], Any]) -> Iterator[None]:
    originals = [module[key] for module, key in places]
    for (module, key), original in zip(places, originals, strict=True):
        dict.__setitem__(module, key, stand_in(original))
    try:
        yield
    finally:
        for (module, key), original in zip(places, originals, strict=True):
            dict.__setitem__(module, key, original)


def _is_rotation(key: str, child: Any) -> bool:
    return ("rope" in key or "rotary" in key) and callable(child)


def _is_plain(rotation: Any) -> bool:
    return type(rotation) is nn.RoPE and not rotation.traditional


class _Product:
    """An `nn.Linear` for a batch of one. Its weights are a batch too, transposed once, so that the product is one
    operation: otherwise it is transposed, flattened and unflattened each time."""

    def __init__(self, linear: nn.Linear) -> None:
        self._linear, self.weight = linear, linear.weight
        self._weight = linear.weight.T[None]  # the same memory
        mx.eval(self._weight)

    def __call__(self, x: mx.array) -> mx.array:
        if x.ndim != 3 or x.shape[0] != 1:
            return cast(mx.array, self._linear(x))
        y = x @ self._weight
        return cast(mx.array, y + self._linear.bias) if "bias" in self._linear else y

    def __getattr__(self, name: str) -> Any:
        return getattr(self._linear, name)


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


class _ByTokenOrNot(_ByToken):
    """The same, for what also rotates tokens that follow one another."""

    def __call__(self, x: mx.array, offset: Any = 0, **kwargs: Any) -> mx.array:
        if isinstance(offset, mx.array) and offset.ndim == 1:
            return super().__call__(x, offset=offset, **kwargs)
        return cast(mx.array, self._rotation(x, offset=offset, **kwargs))


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
            places = offset if isinstance(offset, mx.array) and offset.ndim else mx.arange(count) + offset
            theta = (places.astype(mx.float32) * rotation.scale)[:, None] * frequencies
            self._angles[key] = _Angles(offset, mx.cos(theta), mx.sin(theta))
        return self._angles[key]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rotation, name)
