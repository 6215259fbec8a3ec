"""A draft's weights as its export will round them: the last part of the training learns with these.

The gradient goes to the float weights as if nothing had been rounded (the straight-through estimator, Bengio et al.
2013), so the floats settle where rounding them costs little.
"""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from mlx_spec.training.initial import EMBEDDING


@dataclass(frozen=True, slots=True)
class Rounding:
    """Bits of the layers' matrices and of the embedding, in groups of `group` numbers that share a scale and a bias."""

    group: int
    layer_bits: int
    embedding_bits: int

    def bits(self, name: str) -> int:
        """The bits of a matrix with this Hugging Face name."""
        return self.embedding_bits if name == EMBEDDING else self.layer_bits

    def rounded(self, name: str, matrix: mx.array) -> mx.array:
        """A matrix as it reads after its export, scales and biases in bfloat16 too."""
        packed, *scales = mx.quantize(matrix, self.group, self.bits(name))
        scale, bias = (part.astype(mx.bfloat16).astype(matrix.dtype) for part in scales)
        return mx.dequantize(packed, scale, bias, self.group, self.bits(name))


def rounding(config: dict[str, Any], layer_bits: int, embedding_bits: int) -> Rounding:
    """How a draft with this configuration is rounded: in groups of 64 where its widths allow that, else of 32."""
    widths = (config["hidden_size"], config["intermediate_size"], config["num_attention_heads"] * config["head_dim"])
    return Rounding(64 if all(width % 64 == 0 for width in widths) else 32, layer_bits, embedding_bits)
