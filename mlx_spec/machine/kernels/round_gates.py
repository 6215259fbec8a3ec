"""The gates of feed-forward layers in rounds, for CPUs on which MLX computes one exponential at a time: MLX's bits, in
a third of the time from some rows on.

A row of a round has the same bits in a pass over one row and over sixteen, and the others of the pass are no business
of it: so unlike those of prompts (`prompt_gates`) these are MLX's own to the last bit, and who has few rows is left
with MLX's. Its exponential is 2^n by its bits times a polynomial in float32, with fused multiply-adds. A product of two
float32 is exact in float64, and so a multiply-add that is rounded there and once more to float32 is the fused one, but
for sums that float64 rounds to the middle between two float32. None is met: all 1.1 billion magnitudes up to 90 were
tried (`python -m tests.machine.kernels.every_exponential`). What serves is tried on a sample first, as another MLX may
have another polynomial.
"""

import platform
import threading
from itertools import pairwise
from typing import Any, Final

import mlx.core as mx
from mlx_lm.models.activations import swiglu as mlxs

from mlx_spec.machine.kernels import prompt_attention
from mlx_spec.machine.kernels.prompt_attention import Loop

LEAST_ROWS: Final = 2
"""MLX's own take no more time for one: each loop has to be begun."""
# MLX's: log2(e), and the polynomial of 2^f, the highest term first, each as a float32.
_LOG2_E: Final = 1.442695
_TERMS: Final = (
    *(1.535336188319500e-4, 1.339887440266574e-3, 9.618437357674640e-3, 5.550332471162809e-2),
    *(2.402264791363012e-1, 6.931472028550421e-1, 1.0),
)
_HIGHEST: Final = 88.0
"""MLX has no number for exponentials of more."""
_BEYOND: Final = 100.0
"""What is more is not looked at: of all that the exponential is infinite."""
_BIAS: Final = 127
_INFINITE: Final = 128
_TRIED: Final = 1 << 14


def takes(gate: mx.array, x: mx.array) -> bool:
    """Whether they are meant for these, where they serve: only the time goes by how many rows there are."""
    many = gate.size >= LEAST_ROWS * gate.shape[-1] if gate.ndim else False
    return many and gate.dtype == x.dtype == mx.float32 and gate.shape == x.shape


def serves() -> bool:
    """Whether they have MLX's bits on its default device, and save time there. Tried once by each thread, which is not
    to trace a pass then: a graph traced inside another's may be wrong (MLX 0.32.4, where it fuses nothing)."""
    if platform.machine() != "x86_64" or not prompt_attention.serves():
        return False
    if _FOUND.agrees is None:
        _FOUND.agrees = _agrees()
    return _FOUND.agrees


def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """`x` times `gate` times the logistic function of it (SwiGLU: Shazeer 2020, eq. 5), in their shape. Lazy."""
    fractions, powers = _PARTS(gate)
    found: mx.array = _GATED(gate, x, fractions, powers.view(mx.float32), gate.view(mx.int32))
    return found


def _parts(x: mx.array) -> tuple[mx.array, mx.array]:
    """Of the exponential of its magnitude 2^(n + f), with f at most a half: 2^f, and the bits (int32) of 2^n."""
    magnitude = mx.minimum(_BEYOND, mx.abs(x))
    y = magnitude * _LOG2_E
    n = (y.astype(mx.float64) + 0.5).astype(mx.int32)
    f = (y - n.astype(mx.float32)).astype(mx.float64)
    power: Any = None
    for highest, term in pairwise(_ROUNDED):
        power = ((highest * f if power is None else power.astype(mx.float64) * f) + term).astype(mx.float32)
    n = mx.minimum(n + (magnitude > _HIGHEST).astype(mx.int32), _INFINITE)
    return power, (n + _BIAS) << 23


def _gated(gate: mx.array, x: mx.array, fraction: mx.array, power: mx.array, bits: mx.array) -> mx.array:
    below = 1.0 / (1.0 + fraction * power)  # the logistic function of what is not above 0
    # Of the others it is 1 less that. By the sign's bit, as a loop with a choice is done one number at a time.
    above = ((bits >> 31) + 1).astype(mx.float32)
    return gate * (above + (1.0 - 2.0 * above) * below) * x


def _to_float32(number: float) -> float:
    rounded: float = mx.array(number, dtype=mx.float32).item()  # type: ignore[assignment]
    return rounded


_ROUNDED: Final = tuple(map(_to_float32, _TERMS))
_PARTS: Final = Loop(_parts)
_GATED: Final = Loop(_gated)


class _Found(threading.local):
    """What a thread has found: its loops are its own."""

    agrees: bool | None = None


_FOUND: Final = _Found()


def _agrees() -> bool:
    """Whether a sample of gates has MLX's bits, from such as are nothing to such as are all."""
    gates = mx.concatenate([scale * mx.random.normal((_TRIED,), key=mx.random.key(3)) for scale in (0.1, 4.0, 40.0)])
    gates = mx.concatenate([gates, mx.array([0.0, -0.0, 88.0, -88.0, 88.2, -88.2, 127.0, -1e30, 1e30])])
    beside = mx.random.normal(gates.shape, key=mx.random.key(4))
    found, expected = swiglu(gates, beside), mlxs(gates, beside)
    return bool(mx.array_equal(found.view(mx.int32), expected.view(mx.int32)).item())
