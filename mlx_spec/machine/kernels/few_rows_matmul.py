"""A quantised matmul for 2 to 16 rows that reads the weights once, where MLX's own reads them once a row.

Which is faster depends on the machine and the shape, so nothing is assumed: `MatmulTimes` knows, from measuring both.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import mlx.core as mx
import mlx.nn as nn

from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.matmul_times import MatmulShape, MatmulTimes
from mlx_spec.machine.kernels.metal import MetalKernel

ROWS: Final = range(2, 17)
_OUTPUTS: Final = 4
_SIMDGROUPS: Final = 2

MATMUL: Final = MetalKernel("few_rows_matmul", ("activations", "weights", "scales", "biases"), ("products",))


def supports(shape: MatmulShape) -> bool:
    """Whether the kernel was written for this."""
    types = (str(mx.float16), str(mx.bfloat16))
    known = shape.bits in (4, 8) and shape.group_size in (32, 64, 128) and shape.dtype in types
    return known and shape.rows in ROWS


def few_rows_matmul(
    x: mx.array, weights: mx.array, scales: mx.array, biases: mx.array, *, group_size: int, bits: int
) -> mx.array:
    """x `[rows, inputs]` times the transpose of affine-quantised weights `[outputs, inputs]`: `[rows, outputs]`.

    `weights` `[outputs, inputs * bits / 32]` (uint32), `scales` and `biases` `[outputs, inputs / group_size]`, as
    `mx.quantize` makes them. Products are summed in float32. Metal only: callers ask `supports` and the times first.
    """
    rows, outputs = x.shape[0], weights.shape[0]
    (products,) = MATMUL(
        [x, weights, scales, biases],
        template={"T": x.dtype, "BITS": bits, "GROUP": group_size, "ROWS": rows, "OUTPUTS": _OUTPUTS},
        groups=(-(-outputs // (_OUTPUTS * _SIMDGROUPS)), 1),
        threads=32 * _SIMDGROUPS,
        outputs=[((rows, outputs), x.dtype)],
    )
    return products


class FewRowsLinear(nn.QuantizedLinear):  # type: ignore[misc]
    """A `QuantizedLinear` that takes our kernel for as many rows as it was measured to be faster for."""

    times: MatmulTimes

    def __call__(self, x: mx.array) -> mx.array:
        """As the layer it was."""
        rows = x.size // x.shape[-1]
        if rows not in ROWS or not self.times.faster(shape_of(self, rows, x.dtype)):
            return cast(mx.array, super().__call__(x))
        flat = x.reshape(rows, x.shape[-1])
        y = few_rows_matmul(
            flat, self["weight"], self["scales"], self["biases"], group_size=self.group_size, bits=self.bits
        ).reshape(*x.shape[:-1], -1)
        return y + self["bias"] if "bias" in self else y


def shape_of(layer: nn.QuantizedLinear, rows: int, dtype: mx.Dtype) -> MatmulShape:
    """What a layer asks of a matmul."""
    outputs, words = layer["weight"].shape
    return MatmulShape(rows, outputs, words * 32 // layer.bits, layer.bits, layer.group_size, str(dtype))


def adopt(model: nn.Module, times: MatmulTimes) -> int:
    """Let a model's quantised layers use the kernel where `times` says so; gives their number. 0 without Metal."""
    if not dispatch.serves():
        return 0
    layers = list(quantised_layers(model))
    for layer in layers:
        layer.times = times
        layer.__class__ = FewRowsLinear
    return len(layers)


def measure(
    model: nn.Module,
    times: MatmulTimes,
    rows: range = ROWS,
    tell: Callable[[str, float], None] = lambda stage, fraction: None,
) -> None:
    """Time the shapes of a model that `times` does not know yet, the stock way and ours, and keep that on disk.

    `tell(stage, fraction)` hears of progress.
    """
    if not dispatch.serves():
        return
    wanted = {
        shape: layer
        for layer in quantised_layers(model)
        for shape in (shape_of(layer, count, layer["scales"].dtype) for count in rows)
        if supports(shape) and not times.knows(shape)
    }
    for done, (shape, layer) in enumerate(wanted.items()):
        tell("timing quantised products", done / len(wanted))
        times.measure(shape, *_contenders(layer, shape.rows))
    if wanted:
        times.save()


def quantised_layers(model: nn.Module) -> Iterator[Any]:
    """The affine-quantised linear layers of a model, our own class or MLX's."""
    for _, module in model.named_modules():
        if isinstance(module, nn.QuantizedLinear) and getattr(module, "mode", "affine") == "affine":
            yield module


def _contenders(layer: Any, rows: int) -> tuple[Any, Any]:
    weights = layer["weight"], layer["scales"], layer["biases"]
    x = mx.random.normal((rows, weights[0].shape[1] * 32 // layer.bits)).astype(weights[1].dtype)
    mx.eval(x)
    how = {"group_size": layer.group_size, "bits": layer.bits}
    return lambda: mx.quantized_matmul(x, *weights, transpose=True, **how), lambda: few_rows_matmul(x, *weights, **how)
