"""Measuring which of a model's products take less time with our kernel than with MLX's own."""

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.products.few_rows import few_rows_matmul, stock_matmul
from mlx_spec.machine.kernels.products.layers import ROWS, quantised_products, shape_of
from mlx_spec.machine.kernels.products.times import MatmulTimes


def measure(
    model: nn.Module,
    times: MatmulTimes,
    dtype: mx.Dtype,
    rows: range = ROWS,
    tell: Callable[[str, float], None] = lambda stage, fraction: None,
) -> None:
    """Time the shapes of a model that `times` does not know yet, with rows of type `dtype`, the stock way and ours, and
    keep that on disk.

    `tell(stage, fraction)` hears of progress.
    """
    if not dispatch.multiplies():
        return
    wanted = {
        shape: weights
        for weights in quantised_products(model)
        for shape in (shape_of(weights, count, dtype) for count in rows)
        if weights.serve and not times.knows(shape)
    }
    for done, (shape, weights) in enumerate(wanted.items()):
        tell("timing quantised products", done / len(wanted))
        x = mx.random.normal((shape.rows, weights.inputs)).astype(dtype)
        mx.eval(x)
        times.measure(shape, lambda: stock_matmul(x, weights), lambda: few_rows_matmul(x, weights))  # noqa: B023
    if wanted:
        times.save()
