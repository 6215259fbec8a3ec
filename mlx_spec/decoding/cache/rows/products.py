"""How wide the parts of a pass may be: each shape and type of product that a model has, and its attention, by
themselves, with made-up activations."""

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any, Final, cast

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear

from mlx_spec.decoding.cache.rows.widths import PartWidth
from mlx_spec.machine.kernels.products.layers import strictly, weights_of
from mlx_spec.machine.kernels.row_attention import masked, row_attention

# Keys in reach, a long text's too: other kernels serve those. Compiled passes hold them in as many slots.
_CONTEXTS: Final = ((60, 256), (1500, 1536))

_EXPERTS: Final = (SwitchLinear, QuantizedSwitchLinear)
_LAYERS: Final = (nn.Linear, nn.QuantizedLinear, nn.Embedding, nn.QuantizedEmbedding, *_EXPERTS)

Rows = Callable[[int, int], mx.array]
"""`[count, …]`: so many rows from a place on, made in one go."""


def part_widths(model: nn.Module, most: int, *, by_row: bool = False) -> Iterator[PartWidth]:
    """Of every part the greatest width up to `most` at which, and at all lesser ones, each row has the bits that it
    has alone; one by one. Attention is MLX's own, or goes `by_row`."""
    dtype = activation_dtype(model)
    for part, (inputs, call) in _products(model).items():
        with strictly(model, most):
            width = _widest(_product(call, _made_up(inputs, dtype, most)), most)
        yield PartWidth(part, width)
    if (heads := _heads(model)) is not None:
        for context, slots in _CONTEXTS:
            way = "attention by row" if by_row else "attention"
            part = f"{way} of {heads[0]} heads over {heads[1]}, each {heads[2]}, {context:,} tokens"
            yield PartWidth(part, _widest(_attention(heads, dtype, context, slots, most, by_row=by_row), most))


def activation_dtype(model: nn.Module) -> mx.Dtype:
    """In what a model computes: the type of its norms and scales, the widest of them."""
    found = {array.dtype for _, array in _floats(model)}
    return next((dtype for dtype in (mx.float32, mx.bfloat16, mx.float16) if dtype in found), mx.float32)


def _floats(model: nn.Module) -> Iterator[tuple[str, mx.array]]:
    every = tree_flatten(model.parameters())
    return ((name, array) for name, array in every if mx.issubdtype(array.dtype, mx.floating))


def _products(model: nn.Module) -> dict[str, tuple[int, Callable[[mx.array], mx.array]]]:
    """One layer of each shape and type: its inputs, and what it does with them. An embedding is a product where the
    head is tied to it; of experts each row is given the same two."""
    found: dict[str, tuple[int, Callable[[mx.array], mx.array]]] = {}
    for _, module in model.named_modules():
        if not isinstance(module, _LAYERS):
            continue
        weights, packing = weights_of(module), weights_of(module).packing
        kind = str(weights.values.dtype).rsplit(".", 1)[-1]
        if not packing.is_dense:
            kind = f"{packing.bits} bit {packing.mode}, groups of {packing.group_size}"
        call: Callable[[mx.array], mx.array] = module
        if isinstance(module, nn.Embedding | nn.QuantizedEmbedding):
            call = module.as_linear
        elif isinstance(module, _EXPERTS):
            call, kind = _given_two(module), f"{kind}, experts"
        found.setdefault(f"product {weights.inputs} to {weights.outputs}, {kind}", (weights.inputs, call))
    return found


def _given_two(layer: Any) -> Callable[[mx.array], mx.array]:
    """What a layer of experts does with rows `[1, n, inputs]`: `[1, n, 2, 1, outputs]`."""
    two = mx.array([0, layer.num_experts - 1])
    return lambda x: cast(mx.array, layer(x[:, :, None, None], mx.broadcast_to(two, (*x.shape[:2], 2))))


def _product(call: Callable[[mx.array], Any], inputs: mx.array) -> Rows:
    def rows(at: int, count: int) -> mx.array:
        found = call(inputs[:, at : at + count])
        # Some layers are several, and give what each makes.
        whole = found if isinstance(found, mx.array) else mx.concatenate(list(found), axis=-1)
        return whole[0]

    return rows


def _made_up(inputs: int, dtype: mx.Dtype, count: int) -> mx.array:
    """`[1, count, inputs]`: two rows that take turns, so that no row is beside its like."""
    two = mx.random.normal((2, inputs), key=mx.random.key(inputs)).astype(dtype)
    return mx.stack(list(islice(cycle(two), count)))[None]


def _heads(model: Any) -> tuple[int, int, int] | None:
    """Query heads, heads of keys and values, and their size, where the model says so in the usual words."""
    args = getattr(model, "args", None)
    heads = getattr(args, "num_attention_heads", None)
    size = getattr(args, "head_dim", None) or (getattr(args, "hidden_size", 0) or 0) // (heads or 1)
    groups = getattr(args, "num_key_value_heads", None) or heads
    usual = all(isinstance(number, int) and number > 0 for number in (heads, groups, size))
    return cast(tuple[int, int, int], (heads, groups, size)) if usual else None


def _attention(
    heads: tuple[int, int, int], dtype: mx.Dtype, context: int, slots: int, most: int, *, by_row: bool
) -> Rows:
    many, few, size = heads
    queries, keys, values = (
        mx.random.normal((1, number, count, size), key=mx.random.key(seed)).astype(dtype)
        for seed, (number, count) in enumerate([(many, most), (few, slots), (few, slots)])
    )

    def rows(at: int, count: int) -> mx.array:
        mask = mx.arange(slots)[None] <= (mx.arange(count) + context + at)[:, None]
        rows = queries[:, :, at : at + count]
        if by_row:
            found = row_attention(rows, keys, values, masked(mask), scale=size**-0.5)
        else:
            found = mx.fast.scaled_dot_product_attention(rows, keys, values, scale=size**-0.5, mask=mask)
        return found[0].swapaxes(0, 1)

    return rows


def _widest(rows: Rows, most: int) -> int:
    alone: list[mx.array] = []
    for width in range(1, most + 1):
        # Two rows take turns in products, but attention has another context in each: all are computed alone.
        alone.append(rows(width - 1, 1)[0])
        if width > 1 and not mx.array_equal(rows(0, width), mx.stack(alone)).item():
            return width - 1
    return most
