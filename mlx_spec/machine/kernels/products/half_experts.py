"""Layers of experts whose weights are in half precision, on a CPU.

MLX's `gather_mm` takes float32 alone there (0.32.4): a mixture of experts that was published in bfloat16 would load,
and raise with its first answer. Here the weights of the chosen experts are multiplied by MLX's ordinary product.
"""

from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.switch_layers import SwitchLinear

_PAIRS: Final = 32
"""Of a row and an expert, whose weights are copied at a time."""


class HalfExperts(SwitchLinear):  # type: ignore[misc]  # mypy sees MLX's classes as Any
    """As the layer it was. Each row has the bits that it has alone: a product has one row."""

    def __call__(self, x: mx.array, indices: mx.array, sorted_indices: bool = False) -> mx.array:
        """x `[…, 1, inputs]` times the weights of the experts at `indices` `[…]`: `[…, 1, outputs]`. As with MLX's, x
        and the experts are repeated where the other has more."""
        shape = mx.broadcast_shapes(x.shape[:-2], indices.shape)
        rows = mx.broadcast_to(x, (*shape, *x.shape[-2:])).reshape(-1, *x.shape[-2:])
        indices = mx.broadcast_to(indices, shape)
        chosen, weights = indices.flatten(), self["weight"].swapaxes(-1, -2)
        parts = [rows[at : at + _PAIRS] @ weights[chosen[at : at + _PAIRS]] for at in range(0, rows.shape[0], _PAIRS)]
        y = mx.concatenate(parts).reshape(*indices.shape, x.shape[-2], -1)
        return y + mx.expand_dims(self["bias"][indices], -2) if "bias" in self else y


def mend_experts(model: Any) -> None:
    """Let a model's experts be such, where MLX's own would raise."""
    if mx.default_device() != mx.Device(mx.cpu) or not isinstance(model, nn.Module):
        return
    for _, module in model.named_modules():
        if type(module) is SwitchLinear and module.weight.dtype != mx.float32:
            module.__class__ = HalfExperts
