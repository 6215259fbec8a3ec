"""How passes over rounds gate where MLX's own way is slow: at the seam, so that no model's code is copied, and with the
bits of MLX's own, which a row has in a pass over one row and over nine.
"""

import mlx.core as mx

from mlx_spec.decoding.cache.passes.attention import OwnWay
from mlx_spec.machine.kernels import round_gates


class OfRounds(OwnWay):
    """The gates of one pass, whose attention is MLX's own."""

    def gated(self, gate: mx.array, x: mx.array) -> mx.array | None:
        """See `OwnWay`."""
        return round_gates.swiglu(gate, x) if round_gates.takes(gate, x) else None
