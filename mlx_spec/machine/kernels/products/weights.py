"""The weights of one product: their arrays, and how these are to be read. Values; launches nothing."""

from dataclasses import dataclass
from typing import Any, Final

import mlx.core as mx

UNIT: Final = 8
"""The kernel reads so many weights at a time, whole units of a row."""
FORMATS: Final = {"dense": 0, "affine": 1, "mxfp4": 2, "mxfp8": 2, "nvfp4": 3}
"""What `metal/weight_units.metal` calls each mode: DENSE, AFFINE, MX, NV."""
_BITS: Final = {"affine": (1, 2, 3, 4, 5, 6, 8), "mxfp4": (4,), "mxfp8": (8,), "nvfp4": (4,)}
_GROUPS: Final = {"affine": (32, 64, 128), "mxfp4": (32,), "mxfp8": (32,), "nvfp4": (16,)}
_DTYPES: Final = (mx.float16, mx.bfloat16, mx.float32)


@dataclass(frozen=True, slots=True)
class Packing:
    """How weights are kept: a `mode` of `mx.quantize` with its bits and group size, or "dense"."""

    mode: str
    bits: int
    group_size: int

    @property
    def is_dense(self) -> bool:
        """Whether they are numbers of a floating type."""
        return self.mode == "dense"

    def how(self) -> dict[str, Any]:
        """As MLX's quantised operations ask for it."""
        return {"group_size": self.group_size, "bits": self.bits, "mode": self.mode}


DENSE: Final = Packing("dense", 1, 1)


class Weights:
    """`[outputs, inputs]`, or `[experts, outputs, inputs]`: `values` in their packing, with `scales` and `biases` where
    that has such. What a launch asks is known once for all."""

    __slots__ = ("_floats", "arrays", "biases", "inputs", "outputs", "packing", "scales", "serve", "values")

    def __init__(
        self,
        values: mx.array,
        packing: Packing = DENSE,
        scales: mx.array | None = None,
        biases: mx.array | None = None,
    ) -> None:
        self.values, self.packing, self.scales, self.biases = values, packing, scales, biases
        self.outputs = values.shape[-2]
        """Numbers of a row of the product."""
        self.inputs = values.shape[-1] if packing.is_dense else values.shape[-1] * 32 // packing.bits
        """Numbers of a row that is multiplied."""
        wide = values if scales is None else scales
        self.arrays = values, wide, wide if biases is None else biases
        """Values, scales and biases; where there are none, what stands there is not read."""
        parts = (values,) if packing.is_dense else (scales, biases) if packing.mode == "affine" else ()
        self._floats = {part.dtype for part in parts if part is not None}
        self.serve = self._serve()
        """Whether the kernel was written for such."""

    def result_type(self, x: mx.Dtype) -> mx.Dtype:
        """What MLX's own product with rows of type `x` gives: of two floating types, float32."""
        return x if not self._floats or self._floats == {x} else mx.float32

    def _serve(self) -> bool:
        packing = self.packing
        if self.inputs % UNIT or not self._floats <= set(_DTYPES):
            return False
        if packing.is_dense:
            return True
        known = packing.bits in _BITS.get(packing.mode, ()) and packing.group_size in _GROUPS[packing.mode]
        return known and self.scales is not None and (self.biases is not None) == (packing.mode == "affine")
