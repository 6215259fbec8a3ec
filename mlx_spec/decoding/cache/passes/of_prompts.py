"""How passes over prompts attend and gate where MLX's own way is slow: at the seam, so that no model's code is copied.

Rounds never go this way: a row's bits are the same in a pass over one row and over nine, which MLX's own keeps and a
way for many rows need not. The chunks of a prompt always have the same rows.
"""

from typing import Any

import mlx.core as mx

from mlx_spec.decoding.cache.passes.attention import OwnWay
from mlx_spec.machine.kernels import prompt_gates
from mlx_spec.machine.kernels.prompt_attention import prompt_attention, takes


class OfPrompts(OwnWay):
    """The attention and the gates of one pass."""

    def __init__(self) -> None:
        self._causal: dict[int, mx.array] = {}  # shared by all layers

    def attend(
        self,
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        *,
        cache: Any,
        scale: float,
        mask: Any,
        sinks: mx.array | None,
    ) -> mx.array | None:
        """See `OwnWay`."""
        if sinks is not None or not takes(queries, keys, mask):
            return None
        if mask is not None and not isinstance(mask, mx.array):
            mask = self._causal_mask(queries.shape[2])
        return prompt_attention(queries, keys, values, scale=scale, mask=mask)

    def gated(self, gate: mx.array, x: mx.array) -> mx.array | None:
        """See `OwnWay`."""
        return prompt_gates.swiglu(gate, x) if prompt_gates.takes(gate, x) else None

    def _causal_mask(self, rows: int) -> mx.array:
        """`[rows, rows]`: each of the newest tokens sees those before it and itself."""
        if rows not in self._causal:
            self._causal[rows] = mx.tri(rows, dtype=mx.bool_)
        return self._causal[rows]
