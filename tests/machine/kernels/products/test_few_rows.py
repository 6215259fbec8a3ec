"""The product of few rows: right to rounding in every packing, each row's bits its own, one read of the weights."""

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.machine.kernels.products.few_rows import (
    MOST_ROWS,
    expert_matmul,
    few_rows_matmul,
    stock_expert_matmul,
    stock_matmul,
)
from mlx_spec.machine.kernels.products.weights import DENSE, Packing, Weights
from tests.machine.kernels.emulator.launches import Emulator, compile_ahead, emulated
from tests.machine.kernels.emulator.run import REVERSE
from tests.machine.kernels.products.cases import PACKINGS, dtype_of, exact, name_of, packed, rounding, rows_of

OUTPUTS, INPUTS = 11, 384  # a simdgroup that stands over the edge, lanes with two units and with one
WIDTHS = range(1, MOST_ROWS + 1)
FOUR_BITS = Packing("affine", 4, 64)
HALF_WORDS = Packing("nvfp4", 4, 16)
GROUPS = [
    (Packing("affine", bits, group), dtype)
    for bits in (4, 6)
    for group in (32, 64, 128)
    for dtype in (mx.float16, mx.bfloat16)
]
EXPERTS = mx.array([[0, 3], [2, 2], [1, 0], [3, 1], [0, 1]])


@pytest.fixture(scope="module", autouse=True)
def _compiled_ahead() -> None:
    """All at once, in a tenth of the time."""

    def every() -> None:
        for packing in PACKINGS:
            x, weights = _case(packing)
            for width in WIDTHS:
                few_rows_matmul(x[:width], weights)
            _experts(packing)
        few_rows_matmul(_more(_case(FOUR_BITS)[0]), _case(FOUR_BITS)[1])
        for packing, dtype in GROUPS:
            for width in (1, 5):
                few_rows_matmul(*_few(packing, dtype, width))
        _halves()

    compile_ahead(every)


def _case(packing: Packing) -> tuple[mx.array, Weights]:
    dtype = dtype_of(packing)
    return rows_of(MOST_ROWS, INPUTS, dtype), packed(packing, OUTPUTS, INPUTS, dtype=dtype)


def _experts(packing: Packing) -> tuple[mx.array, mx.array, Weights]:
    dtype = dtype_of(packing)
    weights = packed(packing, 4, OUTPUTS, INPUTS, dtype=dtype)
    x = rows_of(EXPERTS.shape[0], INPUTS, dtype)
    return x, expert_matmul(x, weights, EXPERTS), weights


@pytest.mark.parametrize("packing", PACKINGS, ids=name_of)
def test_a_rows_bits_are_its_own_at_every_width(emulator: Emulator, packing: Packing) -> None:
    """And within rounding what float64 says of the numbers that MLX reads."""
    x, weights = _case(packing)
    with emulated(emulator):
        alone = mx.concatenate([few_rows_matmul(x[row : row + 1], weights) for row in range(MOST_ROWS)])
        for width in WIDTHS:
            assert mx.array_equal(few_rows_matmul(x[:width], weights), alone[:width]), f"{width} rows"
            assert mx.array_equal(few_rows_matmul(x[-width:], weights), alone[-width:]), f"{width} rows, the last"
        for emulator.order in (REVERSE, 4):
            assert mx.array_equal(few_rows_matmul(x, weights), alone), "in another order of threads"
    assert rounding(alone, exact(x, weights)) <= 1
    assert alone.dtype == stock_matmul(x, weights).dtype


def _few(packing: Packing, dtype: mx.Dtype, width: int) -> tuple[mx.array, Weights]:
    return rows_of(width, INPUTS, dtype), packed(packing, OUTPUTS, INPUTS, dtype=dtype)


@pytest.mark.parametrize(("packing", "dtype"), GROUPS, ids=str)
def test_groups_of_every_size_with_rows_of_half_types(emulator: Emulator, packing: Packing, dtype: mx.Dtype) -> None:
    x, weights = _few(packing, dtype, 5)
    with emulated(emulator):
        found = few_rows_matmul(x, weights)
        for row in range(5):
            assert mx.array_equal(few_rows_matmul(x[row : row + 1], weights)[0], found[row])
    assert rounding(found, exact(x, weights)) <= 1


def _halves() -> tuple[mx.array, mx.array, Weights]:
    x, weights = rows_of(3, 48, mx.float16), packed(HALF_WORDS, 12, 48, dtype=mx.float16)
    return few_rows_matmul(x, weights), x, weights


def test_rows_of_weights_that_are_no_multiple_of_32(emulator: Emulator) -> None:
    """Groups of 16 allow that; a row is six words then."""
    with emulated(emulator):
        found, x, weights = _halves()
    assert weights.serve
    assert rounding(found, exact(x, weights)) <= 1


@pytest.mark.parametrize("packing", PACKINGS, ids=name_of)
def test_experts_are_products_of_one_row_each(emulator: Emulator, packing: Packing) -> None:
    with emulated(emulator):
        x, found, weights = _experts(packing)
        assert emulator.launched == ["few_rows_matmul"]
        for row, experts in enumerate(EXPERTS.tolist()):
            for place, expert in enumerate(experts):
                own = _of_expert(weights, expert)
                assert mx.array_equal(found[row, place], few_rows_matmul(x[row : row + 1], own)[0])
    expected = stock_expert_matmul(x, weights, EXPERTS)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    every = exact(x[None], weights)
    wanted = np.array([[every[expert, row] for expert in some] for row, some in enumerate(EXPERTS.tolist())])
    assert rounding(found, wanted) <= 1


def _of_expert(weights: Weights, expert: int) -> Weights:
    scales, biases = (None if part is None else part[expert] for part in (weights.scales, weights.biases))
    return Weights(weights.values[expert], weights.packing, scales, biases)


@pytest.mark.parametrize("neighbour", [mx.nan, mx.inf, 0.0, 1e4], ids=str)
def test_whatever_stands_beside_a_row(emulator: Emulator, neighbour: float) -> None:
    x, weights = _case(FOUR_BITS)
    with emulated(emulator):
        alone = few_rows_matmul(x[:1], weights)[0]
        for width, place in ((2, 0), (2, 1), (5, 3), (16, 0), (16, 15)):
            beside = mx.full((width, INPUTS), neighbour, dtype=x.dtype)
            beside[place] = x[0]
            assert mx.array_equal(few_rows_matmul(beside, weights)[place], alone)


def _more(x: mx.array) -> mx.array:
    """Two whole tiles, and three rows."""
    return mx.concatenate([x, x, x[:3]])


def test_more_rows_are_tiles_of_the_same(emulator: Emulator) -> None:
    x, weights = _case(FOUR_BITS)
    with emulated(emulator):
        expected = few_rows_matmul(x, weights)
        found = few_rows_matmul(_more(x), weights)
        assert emulator.launched == ["few_rows_matmul"] * 3, "two tiles in one launch, and the rest"
    assert mx.array_equal(found, mx.concatenate([expected, expected, expected[:3]]))


def test_no_order_of_threads_and_no_sanitizer_objects(emulator: Emulator) -> None:
    packing = Packing("affine", 3, 32)  # across words
    x, weights = rows_of(3, 96, mx.float16), packed(packing, 11, 96, dtype=mx.float16)
    with emulated(emulator):
        forward = few_rows_matmul(x, weights)
    for how in (Emulator(order=REVERSE), Emulator(order=4), Emulator(build="address"), Emulator(build="thread")):
        with emulated(how):
            assert mx.array_equal(few_rows_matmul(x, weights), forward)


@pytest.mark.parametrize(("bits", "rows"), [(4, 9), (8, 2)])
def test_the_weights_are_read_once_for_all_rows(emulator: Emulator, bits: int, rows: int) -> None:
    """Lanes that share a group ask for its scale in one load, of one address: those are not counted. Nor is that two
    lanes look at a word which two units share."""
    weights = packed(Packing("affine", bits, 64), 64, 576, dtype=mx.float16)
    emulator.counted = {"few_rows_matmul": ("weights",)}
    with emulated(emulator):
        few_rows_matmul(rows_of(rows, 576, mx.float16), weights)
    assert 1.0 <= emulator.bytes_read / weights.values.nbytes <= 1.05


@pytest.mark.parametrize("packing", PACKINGS, ids=name_of)
def test_without_metal_the_products_are_mlxs(packing: Packing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_SPEC_KERNELS", "off")
    x, weights = _case(packing)
    assert mx.array_equal(few_rows_matmul(x, weights), stock_matmul(x, weights))
    assert weights.serve
    x, found, weights = _experts(packing)
    assert mx.array_equal(found, stock_expert_matmul(x, weights, EXPERTS))


def test_what_it_was_not_written_for() -> None:
    dense, quantised = packed(DENSE, 3, 64, dtype=mx.float16), packed(FOUR_BITS, 3, 64, dtype=mx.float16)
    assert not Weights(dense.values[:, :60]).serve
    assert not Weights(dense.values.astype(mx.int32)).serve
    for packing in (Packing("affine", 7, 64), Packing("affine", 4, 16), Packing("mxfp4", 4, 64), Packing("new", 4, 64)):
        assert not Weights(quantised.values, packing, quantised.scales, quantised.biases).serve
    assert not Weights(quantised.values, quantised.packing, quantised.scales).serve
