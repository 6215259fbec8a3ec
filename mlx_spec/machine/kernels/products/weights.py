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


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """`[outputs, inputs]`, or `[experts, outputs, inputs]`: `values` in their packing, with `scales` and `biases` where
    that has such."""

    values: mx.array
    packing: Packing = DENSE
    scales: mx.array | None = None
    biases: mx.array | None = None

    @property
    def outputs(self) -> int:
        """Numbers of a row of the product."""
        return self.values.shape[-2]

    @property
    def inputs(self) -> int:
        """Numbers of a row that is multiplied."""
        stored = self.values.shape[-1]
        return stored if self.packing.is_dense else stored * 32 // self.packing.bits

    def serve(self) -> bool:
        """Whether the kernel was written for such."""
        packing, types = self.packing, [part.dtype for part in self._floats()]
        if self.inputs % UNIT or any(dtype not in _DTYPES for dtype in types):
            return False
        if packing.is_dense:
            return True
        known = packing.bits in _BITS.get(packing.mode, ()) and packing.group_size in _GROUPS[packing.mode]
        return known and self.scales is not None and (self.biases is not None) == (packing.mode == "affine")

    def result_type(self, x: mx.Dtype) -> mx.Dtype:
        """What MLX's own product with rows of type `x` gives: of two floating types, float32."""
        return x if all(part.dtype == x for part in self._floats()) else mx.float32

    def arrays(self) -> tuple[mx.array, mx.array, mx.array]:
        """Values, scales and biases; where there are none, what stands there is not read."""
        scales = self.values if self.scales is None else self.scales
        return self.values, scales, scales if self.biases is None else self.biases

    def _floats(self) -> list[mx.array]:
        """The arrays of a floating type."""
        if self.packing.is_dense:
            return [self.values]
        every = (self.scales, self.biases) if self.packing.mode == "affine" else ()
        return [part for part in every if part is not None]
