"""Attention of many rows to many keys, for CPUs on which MLX computes one exponential at a time: all but Apple's.

There MLX takes 14 ns for each exponential of a softmax (0.32.4, an x86 Xeon), which are half of reading 64 tokens
behind two thousand. Here an exponential is a few operations over whole arrays, which MLX's compiler makes two loops of,
that a processor does four numbers at a time: 2ⁿ by its bits, and a polynomial for what is left, to the last digit of a
float32 but one. Without a C++ compiler the same operations are done one by one, with the same bits.

A row's bits depend on its own query and the keys that it is given, not on the rows beside it.
"""

import math
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

import mlx.core as mx

_LEAST: Final = 2048
"""Rows times keys from which on it takes less time: below, operations cost more than exponentials."""
_LANES: Final = 16
# ln(2)^i / i!: the series of 2^x, whose next term is under 2e-8 where x is at most a half.
_SERIES: Final = tuple(math.log(2.0) ** i / math.factorial(i) for i in range(7))
_LOWEST: Final = -87.0
"""Whose exponential is the last that a float32 holds in full; of what is less it is 0."""


def serves() -> bool:
    """Whether it is meant for MLX's default device."""
    return mx.default_device() == mx.Device(mx.cpu) and sys.platform != "darwin"


def takes(queries: mx.array, keys: mx.array, mask: Any) -> bool:
    """Whether it is faster than MLX's own with these shapes (see `prompt_attention`), and understands the mask."""
    if keys.ndim != 4 or queries.shape[0] != keys.shape[0] or queries.shape[1] % keys.shape[1]:
        return False
    (rows, length), masked = (queries.shape[2], keys.shape[2]), isinstance(mask, mx.array) and mask.dtype == mx.bool_
    return rows * length >= _LEAST and (masked or mask is None or (mask == "causal" and rows <= length))


def prompt_attention(
    queries: mx.array, keys: mx.array, values: mx.array, *, scale: float, mask: mx.array | None
) -> mx.array:
    """What each row of `queries` `[batch, heads, rows, width]` takes from the values it sees, in that shape. `keys` and
    `values` are `[batch, kv_heads, length, width]`, where `heads` is a multiple of `kv_heads`; `mask` (bool)
    `[..., rows, n]` says which of the last n keys each row sees, beside all those before them. Weights are summed in
    float32. Lazy.
    """
    batch, heads, rows, width = queries.shape
    kv_heads, length = keys.shape[1], keys.shape[2]
    # The heads that share keys are rows of one product.
    together = (queries * scale).reshape(batch, kv_heads, heads // kv_heads * rows, width)
    scores = (together @ keys.swapaxes(-1, -2)).reshape(batch, heads, rows, length).astype(mx.float32)
    if mask is not None:
        begins = length - mask.shape[-1]  # to write only what is masked takes less time than to go through all
        scores[..., begins:] = mx.where(mask, scores[..., begins:], -mx.inf)
    weights = exponentials(scores - _greatest(scores))
    sums = mx.sum(weights, axis=-1, keepdims=True)
    weighted = weights.astype(values.dtype).reshape(batch, kv_heads, -1, length) @ values
    return (weighted.reshape(batch, heads, rows, -1).astype(mx.float32) / sums).astype(queries.dtype)


def _greatest(scores: mx.array) -> mx.array:
    """`[…, 1]`: of each row. In lanes first, which a processor does side by side: a row at a time takes MLX three times
    as long."""
    lanes = scores.reshape(*scores.shape[:-1], -1, _LANES) if scores.shape[-1] % _LANES == 0 else scores[..., None]
    return mx.max(mx.max(lanes, axis=-2), axis=-1, keepdims=True)


def exponentials(x: mx.array) -> mx.array:
    """e to the power of each of `x` (float32, none over 0), in its shape. Lazy."""
    fractions, powers = _PARTS(x)
    found: mx.array = _WHOLE(x, fractions, powers.view(mx.float32))
    return found


def _parts(x: mx.array) -> tuple[mx.array, ...]:
    """Of 2^(n + f), with f at most a half: 2^f, and the bits (int32) of 2^n."""
    y = x * math.log2(math.e)
    n = (y - 0.5).astype(mx.int32)  # cut off towards 0, which is upwards
    f = y - n.astype(mx.float32)
    power: Any = _SERIES[-1]
    for term in _SERIES[-2::-1]:
        power = power * f + term
    return power, (n + 127) << 23


def _whole(x: mx.array, fractions: mx.array, powers: mx.array) -> mx.array:
    return mx.where(x < _LOWEST, 0.0, fractions * powers)  # what is no number stays none


class Loop(threading.local):
    """A function of arrays whose operations MLX's compiler makes one loop of, where that works. A thread has its own:
    what MLX has traced belongs to the thread that did."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arrays: mx.array) -> Any:
        if self._compiled is None:
            self._compiled = mx.compile(self._function, shapeless=True)
            try:
                mx.eval(self._compiled(*(mx.zeros((1,), dtype=array.dtype) for array in arrays)))
            except RuntimeError:  # the compiler is there and fails, or what it made may not be run
                self._compiled = self._function
        return self._compiled(*arrays)


_PARTS: Final = Loop(_parts)
_WHOLE: Final = Loop(_whole)
