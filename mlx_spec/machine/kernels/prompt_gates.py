"""The gates of feed-forward layers, for CPUs on which MLX computes one exponential at a time: see `prompt_attention`.

Those of 112 rows of a layer of the starter target took MLX 5.6 ms (0.32.4, an x86 Xeon), a third of reading them. Here
they are two loops more, so that a pass over a single row takes longer: rounds have MLX's. A row's bits do not depend on
the rows beside it.
"""

from typing import Final

import mlx.core as mx

from mlx_spec.machine.kernels.prompt_attention import Loop, exponentials


def takes(gate: mx.array, x: mx.array) -> bool:
    """Whether these are for it. Not by how many there are: a row has the same bits alone and beside others."""
    return gate.dtype == x.dtype == mx.float32


def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """`x` times `gate` times the logistic function of it (SwiGLU: Shazeer 2020, eq. 5), in their shape. Lazy."""
    # The exponential of what is not above 0, which is never too large.
    found: mx.array = _GATED(gate, x, exponentials(-mx.abs(gate)))
    return found


def _gated(gate: mx.array, x: mx.array, exponential: mx.array) -> mx.array:
    return gate * (mx.where(gate < 0, exponential, 1.0) / (1.0 + exponential)) * x


_GATED: Final = Loop(_gated)
