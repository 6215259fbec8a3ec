"""The real kernels on Apple Silicon: the fallback's results, and their times beside what the memory allows."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import mlx.core as mx
import pytest

from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.compact import compact
from mlx_spec.machine.kernels.products.few_rows import (
    expert_matmul,
    few_rows_matmul,
    stock_expert_matmul,
    stock_matmul,
)
from mlx_spec.machine.kernels.products.weights import Packing, Weights
from mlx_spec.machine.kernels.row_attention import causal, row_attention
from mlx_spec.machine.kernels.row_softmax import log_softmax, probabilities
from tests.machine.kernels.conftest import WARPS
from tests.machine.kernels.paged_cases import Shape, laid
from tests.machine.kernels.products.cases import PACKINGS, dtype_of, exact, name_of, packed, rounding, rows_of, wide
from tests.machine.kernels.test_verify import RULES, Case, decided

pytestmark = [
    pytest.mark.mac,
    pytest.mark.skipif(sys.platform != "darwin" or not mx.metal.is_available(), reason="needs Apple Silicon"),
]

VOCAB: Final = 151_936


@pytest.fixture(autouse=True)
def _gpu() -> Iterator[None]:
    """Kernels want MLX's default device to be the GPU; other tests may have chosen the CPU."""
    before = mx.default_device()
    mx.set_default_device(mx.Device(mx.gpu))
    assert dispatch.choice().metal
    yield
    mx.set_default_device(before)


def fallback(call: Callable[[], Any]) -> Any:
    """The same in MLX's operations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(dispatch.SWITCH, "off")
        return call()


@pytest.mark.parametrize("rule", RULES)
def test_verifying_is_the_fallbacks_token_for_token(rule: str) -> None:
    for seed in range(60):
        vocab = (37, 4_097, VOCAB)[seed % 3]
        dtype = (mx.float32, mx.float16, mx.bfloat16)[seed % 3]
        case = fallback(lambda: Case(seed, rule, seed % 9, vocab, WARPS[1 + seed % 2], dtype))  # noqa: B023
        assert decided(case.run()) == decided(fallback(case.run))


def test_softmax_and_filters_are_the_fallbacks() -> None:
    for params in WARPS:
        rows = Case(1, "coupled", 3, 32_000, params, mx.bfloat16).rows
        assert mx.allclose(probabilities(rows), fallback(lambda: probabilities(rows)), atol=1e-5)  # noqa: B023
        assert mx.allclose(log_softmax(rows.logits), fallback(lambda: log_softmax(rows.logits)), atol=1e-4)  # noqa: B023


def test_compaction_is_the_fallbacks() -> None:
    arrays = [mx.random.normal((1, 8, 64, 128), key=mx.random.key(i)) for i in range(40)]
    for ours, theirs in zip(
        compact(arrays, 9, [1, 4, 5]), fallback(lambda: compact(arrays, 9, [1, 4, 5])), strict=True
    ):
        assert mx.array_equal(ours[:, :, :12], theirs[:, :, :12])


@pytest.mark.parametrize("packing", PACKINGS, ids=name_of)
def test_products_of_few_rows_are_mlxs_and_a_rows_bits_are_its_own(packing: Packing) -> None:
    weights, x = packed(packing, 520, 1024, dtype=dtype_of(packing)), rows_of(16, 1024, dtype_of(packing))
    alone = mx.concatenate([few_rows_matmul(x[row : row + 1], weights) for row in range(16)])
    for width in range(1, 17):
        assert mx.array_equal(few_rows_matmul(x[:width], weights), alone[:width])
    stock = stock_matmul(x, weights)
    assert rounding(alone, exact(x, weights)) <= max(1.0, rounding(stock, exact(x, weights)))


@pytest.mark.parametrize("packing", PACKINGS, ids=name_of)
def test_products_with_experts_are_mlxs(packing: Packing) -> None:
    weights, x = packed(packing, 4, 72, 1024, dtype=dtype_of(packing)), rows_of(5, 1024, dtype_of(packing))
    experts = mx.array([[0, 3], [2, 2], [1, 0], [3, 1], [0, 1]])
    found = expert_matmul(x, weights, experts)
    assert rounding(found, wide(stock_expert_matmul(x, weights, experts))) <= 2
    for row in range(5):
        assert mx.array_equal(expert_matmul(x[row : row + 1], weights, experts[row : row + 1])[0], found[row])


@pytest.mark.parametrize("rows", [1, 2, 4, 8, 16])
def test_times_of_a_product_beside_mlxs(rows: int) -> None:
    """Of an 8-billion model's kind. Nothing is asked of them here: `measure` asks."""
    weights, x = packed(Packing("affine", 4, 64), 4096, 4096, dtype=mx.float16), rows_of(rows, 4096, mx.float16)
    calls: list[Callable[[mx.array, Weights], mx.array]] = [stock_matmul, few_rows_matmul]
    taken_us = [_microseconds(lambda: [call(x, weights)]) for call in calls]  # noqa: B023
    print(f"\n{rows} rows, MLX's and ours: {taken_us}")  # noqa: T201
    assert all(value > 0 for value in taken_us)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)
@pytest.mark.parametrize("width", [64, 80, 96, 128, 256])
def test_attention_over_blocks_is_the_fallbacks_and_a_rows_bits_are_its_own(width: int, dtype: mx.Dtype) -> None:
    shape = Shape(heads=8, kv_heads=2, width=width, value_width=width, block_tokens=64)
    newest, other = shape.answer(1, 600, 16), shape.answer(2, 900, 40)
    case = laid(shape, [other, newest], seed=3, dtype=dtype)
    got = case.attend(scale=width**-0.5)
    expected = fallback(lambda: case.attend(scale=width**-0.5))
    assert mx.allclose(got, expected, atol=1e-5 if dtype == mx.float32 else 2e-2)
    for row in range(16):
        alone = laid(shape, [newest.only(row)], dtype=dtype).attend(scale=width**-0.5)
        assert mx.array_equal(alone[0], got[40 + row])


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)
@pytest.mark.parametrize("length", [40, 700, 1500, 5000])
def test_attention_by_row_is_mlxs_and_a_rows_bits_are_its_own(length: int, dtype: mx.Dtype) -> None:
    """Behind texts for which MLX takes its one kernel, its other one, and both of its numbers of blocks."""
    queries, keys, values = (
        mx.random.normal((1, heads, count, 128), key=mx.random.key(seed)).astype(dtype)
        for seed, (heads, count) in enumerate([(8, 16), (2, length), (2, length)])
    )
    got = row_attention(queries, keys, values, causal(1, 16, length), scale=128**-0.5)
    stock = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=128**-0.5, mask="causal")
    assert mx.allclose(got, stock, atol=1e-4 if dtype == mx.float32 else 2e-2)
    for row in range(16):
        seen = length - 15 + row
        alone = row_attention(queries[:, :, row : row + 1], keys, values, causal(1, 1, seen), scale=128**-0.5)
        assert mx.array_equal(alone[:, :, 0], got[:, :, row])


@pytest.mark.parametrize("rule", RULES)
def test_times_beside_the_bandwidths(rule: str) -> None:
    case = Case(1, rule, 8, VOCAB, WARPS[1], mx.bfloat16)
    taken_us = {name: _microseconds(call) for name, call in _both(case).items()}
    copied = mx.zeros((64_000_000,), dtype=mx.float32)
    mx.eval(copied)
    bandwidth = 2 * copied.nbytes / _microseconds(lambda: [copied + 1.0])  # bytes a microsecond
    roofline_us = 9 * 2 * VOCAB / bandwidth
    print(f"\n{rule}: {taken_us}, one read of the logits {roofline_us:.1f} µs")  # noqa: T201
    assert all(value > 0 for value in taken_us.values())


def _both(case: Case) -> dict[str, Callable[[], list[mx.array]]]:
    def ours() -> list[mx.array]:
        verdict = case.run()
        return [verdict.accepted_count, verdict.token_ids, verdict.logprobs]

    return {"metal": ours, "mlx_ops": lambda: fallback(ours)}


def _microseconds(call: Callable[[], list[mx.array]]) -> float:
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        mx.eval(call())
        best = min(best, (time.perf_counter() - started) * 1e6)
    return best
