"""A model's own layers, whose products may go through our kernel: all of them in strict passes, and in others those
that were measured to take less time.

A layer is made one of ours by its class alone: its weights, names and settings stay.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear

from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.products.few_rows import MOST_ROWS, expert_matmul, few_rows_matmul
from mlx_spec.machine.kernels.products.times import MatmulShape, MatmulTimes
from mlx_spec.machine.kernels.products.weights import Packing, Weights

ROWS: Final = range(2, MOST_ROWS + 1)
"""Rows at which our kernel may take less time than MLX's own, which for one row is made for it."""
_OF_MODELS: Final[dict[int, "Products"]] = {}


class Products:
    """How the products of one model are made. Its layers share it."""

    def __init__(self, times: MatmulTimes) -> None:
        self.times = times
        self._faster: dict[tuple[Packing, int, int, int, mx.Dtype], bool] = {}
        self.strict = False
        """Whether the pass that is being built is one whose rows must not see each other."""

    def ours(self, weights: Weights, rows: int, dtype: mx.Dtype) -> bool:
        """Whether a product of so many rows goes through our kernel."""
        if self.strict:
            return weights.serve
        if rows not in ROWS:
            return False
        key = weights.packing, weights.outputs, weights.inputs, rows, dtype
        if key not in self._faster:
            self._faster[key] = weights.serve and self.times.faster(shape_of(weights, rows, dtype))
        return self._faster[key]

    def learn(self, times: MatmulTimes) -> None:
        """What is known of times may have changed."""
        self.times = times
        self._faster.clear()


class _Layer(nn.Module):  # type: ignore[misc]  # mypy sees MLX's classes as Any
    """What ours add to a layer of MLX's."""

    products: Products

    def weights(self) -> Weights:
        """Its weights, as long as they are the same arrays looked at once."""
        known: Weights | None = getattr(self, "_known_weights", None)
        if known is None or known.values is not self["weight"] or known.scales is not self.get("scales"):
            known = weights_of(self)
            self._known_weights = known
        return known

    def product(self, x: mx.array) -> mx.array | None:
        """x `[…, inputs]` times the weights, where that is our kernel's."""
        weights, rows = self.weights(), x.size // x.shape[-1]
        if not self.products.ours(weights, rows, x.dtype):
            return None
        return few_rows_matmul(x.reshape(rows, x.shape[-1]), weights).reshape(*x.shape[:-1], -1)


class _Projection(_Layer):
    """A linear layer."""

    def __call__(self, x: mx.array) -> mx.array:
        """As the layer it was."""
        y = self.product(x)
        if y is None:
            return cast(mx.array, super().__call__(x))
        return y + self["bias"] if "bias" in self else y


class _Head(_Layer):
    """An embedding that the head may be tied to."""

    def as_linear(self, x: mx.array) -> mx.array:
        """As the layer it was."""
        y = self.product(x)
        return cast(mx.array, super().as_linear(x)) if y is None else y


class _Experts(_Layer):
    """The linear layers of experts, of which each row is given some. Its products are always one row with one expert:
    other kernels were not measured against that, so it serves strict passes alone."""

    def __call__(self, x: mx.array, indices: mx.array, sorted_indices: bool = False) -> mx.array:
        """As the layer it was: x `[…, 1, inputs]`, `indices` `[…]` of the experts; `[…, 1, outputs]`."""
        weights, share = self.weights(), _share(x, indices)
        if share is None or not self.products.strict or not weights.serve or self.get("global_scale") is not None:
            return cast(mx.array, super().__call__(x, indices, sorted_indices))
        y = expert_matmul(x.reshape(-1, x.shape[-1]), weights, indices.reshape(-1, share))
        y = y.reshape(*indices.shape, 1, -1)
        return y + mx.expand_dims(self["bias"][indices], -2) if "bias" in self else y


class FewRowsLinear(_Projection, nn.QuantizedLinear):  # type: ignore[misc]
    """Of quantised weights."""


class FewRowsDense(_Projection, nn.Linear):  # type: ignore[misc]
    """Of dense ones."""


class FewRowsQuantizedHead(_Head, nn.QuantizedEmbedding):  # type: ignore[misc]
    """Of quantised weights."""


class FewRowsHead(_Head, nn.Embedding):  # type: ignore[misc]
    """Of dense ones."""


class FewRowsQuantizedExperts(_Experts, QuantizedSwitchLinear):  # type: ignore[misc]
    """Of quantised weights."""


class FewRowsExperts(_Experts, SwitchLinear):  # type: ignore[misc]
    """Of dense ones."""


_OURS: Final[dict[type, type]] = {
    nn.QuantizedLinear: FewRowsLinear,
    nn.Linear: FewRowsDense,
    nn.QuantizedEmbedding: FewRowsQuantizedHead,
    nn.Embedding: FewRowsHead,
    QuantizedSwitchLinear: FewRowsQuantizedExperts,
    SwitchLinear: FewRowsExperts,
}


def adopt(model: nn.Module, times: MatmulTimes) -> int:
    """Let the products of a model's layers go through the kernel, in strict passes, and where `times` says that it is
    the faster one; gives the number of those layers. 0 without Metal. A layer of any other class stays what it is."""
    if not dispatch.multiplies():
        return 0
    products = _OF_MODELS.get(id(model))
    if products is None:
        products = _OF_MODELS[id(model)] = Products(times)
        weakref.finalize(model, _OF_MODELS.pop, id(model), None)
    products.learn(times)
    count = 0
    for _, module in model.named_modules():
        if type(module) in _OURS:
            module.__class__ = _OURS[type(module)]
            module.products = products
        count += isinstance(module, _Layer)
    return count


@contextmanager
def strictly(model: nn.Module, rows: int | None) -> Iterator[None]:
    """Build a pass over so many rows inside, in which no row may see another; None is any other pass.

    Passes of more than 16 rows are those that read prompts: their chunks begin at fixed places and are read alone in
    any case, so MLX's own products serve, which are faster there.
    """
    products = _OF_MODELS.get(id(model))
    if products is None:
        yield
        return
    before, products.strict = products.strict, rows is not None and rows <= MOST_ROWS
    try:
        yield
    finally:
        products.strict = before


def is_strict(model: nn.Module) -> bool:
    """Whether a pass that is built now is one in which no row may see another, by our kernel."""
    products = _OF_MODELS.get(id(model))
    return products is not None and products.strict


def adopted(model: nn.Module) -> bool:
    """Whether strict passes of this model make their products with our kernel here."""
    return id(model) in _OF_MODELS and dispatch.multiplies()


def weights_of(layer: Any) -> Weights:
    """What a linear layer, an embedding or a layer of experts multiplies with."""
    if "scales" not in layer:
        return Weights(layer["weight"])
    packing = Packing(getattr(layer, "mode", "affine"), layer.bits, layer.group_size)
    return Weights(layer["weight"], packing, layer["scales"], layer.get("biases"))


def shape_of(weights: Weights, rows: int, dtype: mx.Dtype) -> MatmulShape:
    """What a product asks of a kernel."""
    packing = weights.packing
    return MatmulShape(
        rows, weights.outputs, weights.inputs, packing.mode, packing.bits, packing.group_size, str(dtype)
    )


def quantised_products(model: nn.Module) -> Iterator[Weights]:
    """What the quantised linear layers of a model multiply with, and its head, where that is tied to the embedding;
    dense layers' own products read their weights once in any case."""
    is_tied = bool(getattr(getattr(model, "args", None), "tie_word_embeddings", False))
    for _, module in model.named_modules():
        if isinstance(module, nn.QuantizedLinear) or (is_tied and isinstance(module, nn.QuantizedEmbedding)):
            yield weights_of(module)


def _share(x: mx.array, indices: mx.array) -> int | None:
    """How many experts each row of x `[…, 1, inputs]` is given by `indices`; None where they are laid out otherwise."""
    if x.ndim < 2 or x.shape[-2] != 1 or not indices.size:
        return None
    given, asked = x.shape[:-2], indices.shape
    if given == asked:
        return 1
    return asked[-1] if given == (*asked[:-1], 1) else None
