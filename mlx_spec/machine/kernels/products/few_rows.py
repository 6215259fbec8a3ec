"""Products of a few rows with weights in any packing of MLX's, whose rows do not see each other: each has the bits that
it has alone, whatever their number. The weights are read once for up to 16 rows, where MLX's own products of few rows
read them once a row.
"""

from functools import lru_cache
from typing import Any, Final

import mlx.core as mx

from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.metal import MetalKernel
from mlx_spec.machine.kernels.products.weights import FORMATS, Packing, Weights

MOST_ROWS: Final = 16
"""Of one reading of the weights: their sums stand in registers."""
_OUTPUTS: Final = 4
_SIMDGROUPS: Final = 2

MATMUL: Final = MetalKernel(
    "few_rows_matmul", ("activations", "weights", "scales", "biases", "experts"), ("products",), ("weight_units",)
)


def few_rows_matmul(x: mx.array, weights: Weights) -> mx.array:
    """x `[rows, inputs]` times the transpose of `weights` `[outputs, inputs]`: `[rows, outputs]`, summed in float32.

    More than 16 rows are so many readings of the weights. For weights that `serve` alone. Without Metal, MLX's own.
    """
    if not dispatch.multiplies():
        return stock_matmul(x, weights)
    if x.shape[0] <= MOST_ROWS:
        return _launch(x, weights, weights.values, 0, x.shape[0])
    whole = x.shape[0] // MOST_ROWS * MOST_ROWS
    parts = [part for part in (x[:whole], x[whole:]) if part.shape[0]]
    products = [_launch(part, weights, weights.values, 0, min(part.shape[0], MOST_ROWS)) for part in parts]
    return products[0] if len(products) == 1 else mx.concatenate(products)


def expert_matmul(x: mx.array, weights: Weights, experts: mx.array) -> mx.array:
    """Each row of x `[rows, inputs]` times the transposes of the weights of `experts` `[rows, share]`, of which
    `weights` holds those of all, `[experts, outputs, inputs]`: `[rows, share, outputs]`.

    A launch for any number of rows, each product by itself. As `few_rows_matmul`.
    """
    if not dispatch.multiplies():
        return stock_expert_matmul(x, weights, experts)
    rows, share = experts.shape
    flat = experts.astype(mx.uint32).flatten()
    return _launch(x, weights, flat, share, 1).reshape(rows, share, -1)


def stock_matmul(x: mx.array, weights: Weights) -> mx.array:
    """The same in MLX's own operations, by the kernels of its choice."""
    if weights.packing.is_dense:
        return x @ weights.values.T
    assert weights.scales is not None, "packed weights have scales"
    how = weights.packing.how()
    return mx.quantized_matmul(x, weights.values, weights.scales, weights.biases, transpose=True, **how)


def stock_expert_matmul(x: mx.array, weights: Weights, experts: mx.array) -> mx.array:
    """The same in MLX's own operations, by the kernels of its choice."""
    rows = x[:, None, None]
    if weights.packing.is_dense:
        values = weights.values.swapaxes(-1, -2)
        if mx.default_device() == mx.Device(mx.cpu) and weights.result_type(x.dtype) != mx.float32:
            return (rows @ values[experts])[:, :, 0]  # there MLX's own gathers in float32 only
        return mx.gather_mm(rows, values, rhs_indices=experts)[:, :, 0]
    assert weights.scales is not None, "packed weights have scales"
    arrays, how = (weights.values, weights.scales, weights.biases), weights.packing.how()
    return mx.gather_qmm(rows, *arrays, rhs_indices=experts, transpose=True, **how)[:, :, 0]


def _launch(x: mx.array, weights: Weights, experts: mx.array, share: int, rows: int) -> mx.array:
    """Products `[tiles * rows, outputs]`: a tile of the grid is `rows` of x, or, where each has a `share` of experts,
    one row with one of these."""
    tiles = experts.size if share else x.shape[0] // rows
    dtype = weights.result_type(x.dtype)
    return MATMUL([x, *weights.arrays, experts], **_how(weights.packing, weights.outputs, dtype, tiles, share, rows))[0]


@lru_cache(maxsize=4096)  # a pass has hundreds of launches, a model a few dozen kinds of them
def _how(packing: Packing, outputs: int, dtype: mx.Dtype, tiles: int, share: int, rows: int) -> dict[str, Any]:
    template = {"T": dtype, "FORMAT": FORMATS[packing.mode], "BITS": packing.bits, "GROUP": packing.group_size}
    return {
        "template": template | {"SHARE": share, "ROWS": rows, "OUTPUTS": _OUTPUTS},
        "groups": (-(-outputs // (_OUTPUTS * _SIMDGROUPS)), tiles),
        "threads": 32 * _SIMDGROUPS,
        "outputs": [((tiles * rows, outputs), dtype)],
    }
