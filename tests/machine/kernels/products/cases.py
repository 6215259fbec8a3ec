"""Weights in every packing that MLX makes, rows, and what their products are in float64."""

from typing import Final

import mlx.core as mx
import numpy as np

from mlx_spec.machine.kernels.products.weights import DENSE, Packing, Weights

FLOATS: Final = (mx.float16, mx.bfloat16, mx.float32)
PACKINGS: Final = (
    *(Packing("affine", bits, (32, 64, 128)[bits % 3]) for bits in (1, 2, 3, 4, 5, 6, 8)),
    Packing("mxfp4", 4, 32),
    Packing("mxfp8", 8, 32),
    Packing("nvfp4", 4, 16),
    DENSE,
)


def name_of(packing: Packing) -> str:
    """For tests' names."""
    return f"{packing.mode} {packing.bits} bit, groups of {packing.group_size}" if not packing.is_dense else "dense"


def dtype_of(packing: Packing) -> mx.Dtype:
    """Each packing is tried with one type of rows, each type with several packings."""
    return FLOATS[PACKINGS.index(packing) % len(FLOATS)] if packing in PACKINGS else mx.float16


def rows_of(count: int, inputs: int, dtype: mx.Dtype, seed: int = 1) -> mx.array:
    """`[count, inputs]`, normal."""
    values = np.random.default_rng(seed).normal(size=(count, inputs)).astype(np.float32)
    return mx.array(values).astype(dtype)


def packed(packing: Packing, *shape: int, dtype: mx.Dtype) -> Weights:
    """`[outputs, inputs]`, or with experts in front, normal."""
    values = rows_of(int(np.prod(shape[:-1])), shape[-1], dtype, seed=sum(shape)).reshape(shape)
    if packing.is_dense:
        return Weights(values)
    numbers, scales, *biases = mx.quantize(values, **packing.how())
    return Weights(numbers, packing, scales, biases[0] if biases else None)


def exact(x: mx.array, weights: Weights) -> np.ndarray:
    """`[…, rows, outputs]` in float64, of the weights as MLX itself reads them."""
    return wide(x) @ np.swapaxes(wide(read_by_mlx(weights)), -1, -2)


def read_by_mlx(weights: Weights) -> mx.array:
    """The numbers that packed weights stand for, in float32."""
    if weights.packing.is_dense:
        return weights.values
    scales, biases = weights.scales, weights.biases
    assert scales is not None
    if biases is not None:
        scales, biases = scales.astype(mx.float32), biases.astype(mx.float32)
    return mx.dequantize(weights.values, scales, biases, dtype=mx.float32, **weights.packing.how())


def wide(array: mx.array) -> np.ndarray:
    """As float64."""
    return np.array(array.astype(mx.float32)).astype(np.float64)


def rounding(found: mx.array, wanted: np.ndarray) -> float:
    """How far the worst number is off, in halves of the last digit of the largest, and of float32's sums."""
    digits = {mx.float16: 11, mx.bfloat16: 8, mx.float32: 21}[found.dtype]
    return float(np.abs(wide(found) - wanted).max() / (np.abs(wanted).max() * 2.0**-digits))
