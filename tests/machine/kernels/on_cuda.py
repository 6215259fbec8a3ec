"""A program for a machine with an NVIDIA GPU and `mlx[cuda13]`, or a Mac: do rows see each other, at what price?

    python -m tests.machine.kernels.on_cuda [--model starter] [--quick] > rows.json

Products of an 8-billion model's shapes in every packing, 1 to 16 rows, MLX's own and ours: the share of rows whose bits
are not those that they have alone, the error in halves of the last digit, and times in turns. Then whole passes of a
model quantised to 4 bit, and of a random one with an 8-billion model's layers: fast and strict. No such GPU was at
hand when this was written; it was run with each launch emulated.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.llama import Model, ModelArgs

from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.rows.known import measure_widths
from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.products.few_rows import MOST_ROWS, few_rows_matmul, stock_matmul
from mlx_spec.machine.kernels.products.layers import adopt
from mlx_spec.machine.kernels.products.times import MatmulTimes
from mlx_spec.machine.kernels.products.weights import Packing, Weights
from tests.machine.kernels.products.cases import PACKINGS, dtype_of, exact, name_of, packed, rounding, rows_of

SHAPES: Final = ((4096, 4096), (14336, 4096), (4096, 14336))
WIDTHS: Final = range(1, MOST_ROWS + 1)
REPEATS: Final = 15
AIMS: Final = {1: 0.95, **dict.fromkeys(range(2, 9), 1.0)}
"""MLX's time over ours, as a median over shapes, at so many rows."""

Product = Callable[[mx.array, Weights], mx.array]
PRODUCTS: Final[dict[str, Product]] = {"stock": stock_matmul, "ours": few_rows_matmul}


def differing(rows: Callable[[int, int], mx.array], widths: Sequence[int]) -> dict[int, float]:
    """Of passes over rows `at` to `at + width`, by width: the share of rows whose bits are not those alone."""
    alone = [rows(at, 1)[0] for at in range(max(widths))]
    found = {}
    for width in widths:
        beside = rows(0, width)
        found[width] = sum(not mx.array_equal(beside[at], alone[at]).item() for at in range(width)) / width
    return found


def microseconds(calls: dict[str, Callable[[], mx.array]], repeats: int) -> dict[str, float]:
    """Medians, taken in turns."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats + 2):
        for name, call in calls.items():
            started = time.perf_counter()
            mx.eval([call() for _ in range(10)])
            if repeat > 1:  # the first compile, and wake the device up
                taken[name].append((time.perf_counter() - started) * 1e5)
    return {name: statistics.median(times) for name, times in taken.items()}


def products(
    packing: Packing, shapes: Sequence[tuple[int, int]], widths: Sequence[int], repeats: int
) -> Iterator[dict[str, Any]]:
    """What was found of a packing, shape by shape."""
    dtype = dtype_of(packing)
    for outputs, inputs in shapes:
        weights, x = packed(packing, outputs, inputs, dtype=dtype), rows_of(max(widths), inputs, dtype)
        mx.eval(x, *weights.arrays)
        wanted = exact(x, weights)
        found: dict[str, Any] = {"packing": name_of(packing), "outputs": outputs, "inputs": inputs, "dtype": str(dtype)}
        for name, call in PRODUCTS.items():
            found[f"{name}_differing"] = differing(lambda at, count: call(x[at : at + count], weights), widths)  # noqa: B023
            found[f"{name}_error"] = rounding(call(x, weights), wanted)
        found["us"] = {
            width: microseconds({name: _called(call, x[:width], weights) for name, call in PRODUCTS.items()}, repeats)
            for width in widths
        }
        yield found


def _called(call: Product, x: mx.array, weights: Weights) -> Callable[[], mx.array]:
    return lambda: call(x, weights)


def speedups(found: Sequence[dict[str, Any]]) -> dict[int, float]:
    """MLX's time over ours by rows, the median over all that was tried."""
    widths = found[0]["us"]
    return {
        width: statistics.median(one["us"][width]["stock"] / one["us"][width]["ours"] for one in found)
        for width in widths
    }


def passes(model: nn.Module, name: str, widths: Sequence[int], texts: int) -> dict[str, Any]:
    """Of whole passes over the next tokens of some texts, fast and strict, by width: the share with a row whose bits
    are not those of plain steps. And the widths that calibration would find."""
    found: dict[str, Any] = {"model": name}
    for exactness, widest in (("fast", None), ("strict", max(widths))):
        shares = dict.fromkeys(widths, 0.0)
        for text in range(texts):
            ids = [(17 * text + 5 * at) % 200 + 1 for at in range(24 + max(widths))]
            alone = _scored(model, name, widest, ids, 1)
            for width in widths:
                same = mx.array_equal(_scored(model, name, widest, ids[: 24 + width], width)[:width], alone[:width])
                shares[width] += (not same.item()) / texts
        found[exactness] = shares
    rows = measure_widths(model, name)
    return found | {"row_invariant_width": rows.width, "parts": [[one.part, one.width] for one in rows.parts]}


def _scored(model: nn.Module, name: str, widest: int | None, ids: list[int], width: int) -> mx.array:
    """Logits of what follows the first 24 ids, in passes of `width` rows."""
    cached = CachedModel(model, name, speculative=True, widest=widest)
    cached.prefill(ids[:24])
    rows = []
    for begin in range(24, len(ids), width):
        rows.append(cached.score(mx.array(ids[begin : begin + width], dtype=mx.int32), kept=width))
        mx.eval(rows[-1])
    return mx.concatenate(rows)


def random_llama(layers: int = 4) -> nn.Module:
    """Layers of an 8-billion model, 4 bit, with a small vocabulary."""
    args = ModelArgs(
        model_type="llama",
        hidden_size=4096,
        num_hidden_layers=layers,
        intermediate_size=14336,
        num_attention_heads=32,
        num_key_value_heads=8,
        rms_norm_eps=1e-5,
        vocab_size=1024,
        rope_theta=500_000.0,
        tie_word_embeddings=False,
    )
    model = Model(args)
    model.set_dtype(mx.bfloat16)
    nn.quantize(model, group_size=64, bits=4)
    mx.eval(model.parameters())
    return model


def named(name: str) -> nn.Module:
    """A model that `load_pair` finds, quantised to 4 bit where it is not."""
    from mlx_spec import load_pair

    model = load_pair(name, "none").target
    if not any(isinstance(module, nn.QuantizedLinear) for module in model.modules()):
        model.set_dtype(mx.bfloat16)
        nn.quantize(model, group_size=64, bits=4)
    return model


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one JSON object; 1 where an aim is missed, 2 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--quick", action="store_true", help="one shape, few widths")
    asked = parser.parse_args(arguments)
    os.environ.setdefault(dispatch.SWITCH, "cuda")
    if not dispatch.multiplies():
        sys.stderr.write(f"This needs a GPU that MLX computes on: {dispatch.choice().why}\n")
        return 2
    widths, shapes = (WIDTHS, SHAPES) if not asked.quick else ((1, 2, 5, 16), SHAPES[:1])
    each = [one for packing in PACKINGS for one in products(packing, shapes, widths, REPEATS)]
    models = []
    for name, model in (("8 billion, random", random_llama()), (asked.model, named(asked.model))):
        adopt(model, MatmulTimes())
        models.append(passes(model, name, widths, texts=3 if asked.quick else 20))
    faster = speedups(each)
    missed = [f"{rows} rows: {faster[rows]:.2f} times" for rows, aim in AIMS.items() if faster.get(rows, aim) < aim]
    seen = [one["packing"] for one in each if any(one["ours_differing"].values())]
    told = {"device": mx.device_info(), "speedup": faster, "missed": missed, "rows_differ": seen}
    sys.stdout.write(json.dumps(told | {"products": each, "passes": models}, default=str, indent=1) + "\n")
    return 1 if missed or seen else 0


if __name__ == "__main__":
    sys.exit(main())
