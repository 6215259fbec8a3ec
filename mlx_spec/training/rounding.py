"""Weights as their export will round them: the last part of a training learns with these.

The gradient is taken where the rounded weights are and applied to the floats (the straight-through estimator, Bengio et
al. 2013), so the floats settle where rounding them costs little.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten

from mlx_spec.training.initial import EMBEDDING


@dataclass(frozen=True, slots=True)
class Rounding:
    """Bits of all matrices but one, and of that one, the `vocabulary`'s; `group` numbers share a scale and a bias."""

    group: int
    bits: int
    vocabulary_bits: int
    vocabulary: str = EMBEDDING

    def rounded(self, name: str, matrix: mx.array) -> mx.array:
        """A matrix as it reads after its export, scales and biases in bfloat16 too."""
        bits = self.vocabulary_bits if name == self.vocabulary else self.bits
        packed, *scales = mx.quantize(matrix, self.group, bits)
        scale, bias = (part.astype(mx.bfloat16).astype(matrix.dtype) for part in scales)
        return mx.dequantize(packed, scale, bias, self.group, bits)


def rounding(config: dict[str, Any], bits: int, vocabulary_bits: int, vocabulary: str = EMBEDDING) -> Rounding:
    """How a model with this configuration is rounded: in groups of 64 where its widths allow that, else of 32."""
    widths = (config["hidden_size"], config["intermediate_size"], config["num_attention_heads"] * config["head_dim"])
    return Rounding(64 if all(width % 64 == 0 for width in widths) else 32, bits, vocabulary_bits, vocabulary)


@contextmanager
def rounded_weights(module: nn.Module, rounding: Rounding | None) -> Iterator[None]:
    """For a while the module's matrices are rounded, where a rounding is given; then they are what they were."""
    if rounding is None:
        yield
        return
    floats = module.parameters()
    named: list[tuple[str, Any]] = tree_flatten(floats)
    module.update(tree_unflatten([(name, rounding.rounded(name, w)) for name, w in named if w.ndim == 2]))
    try:
        yield
    finally:
        module.update(floats)
