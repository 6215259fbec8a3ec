"""What docs/stock-kernels.md says of MLX's kernels, held by the text of the installed ones, run by the emulator.

A newer MLX may divide its sums otherwise: then one of these fails, and the page has to be read again.
"""

import math

import mlx.core as mx
import numpy as np
import pytest

from tests.machine.kernels.emulator.stock import StockKernel, functions, header

HEADS, KV_HEADS, WIDTH, CAPACITY = 4, 1, 64, 1400
BITS, GROUP, INPUTS, OUTPUTS = 4, 64, 1024, 8

NEEDED = (
    *("get_pack_factor", "get_bytes_per_pack", "load_vector", "qdot", "dequantize"),
    *("qmv_fast_impl", "qmv_wide_impl"),
)
PLACES = """
const uint group = at.threadgroup_position_in_grid.x, lane_in_group = at.thread_position_in_threadgroup.x;
const uint threads = at.threads_per_threadgroup.x, lane = at.thread_index_in_simdgroup;
const uint simdgroup = at.simdgroup_index_in_threadgroup;
"""


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("size", [700, 5000], ids=["block", "looped"])
@pytest.mark.parametrize("name", ["softmax", "logsumexp"])
def test_a_row_by_itself_is_summed_by_its_own_size(name: str, size: int) -> None:
    looped = size > 4096
    names = {"softmax": ("softmax_single_row", "softmax_looped"), "logsumexp": ("logsumexp", "logsumexp_looped")}
    called = (
        f"{names[name][looped]}<float>(x, y, n, group, lane_in_group, {'threads, ' if looped else ''}lane, simdgroup);"
    )
    pointers = "auto x = (const float*)buffers[0]; auto y = (float*)buffers[1]; auto& n = *(const int*)buffers[2];"
    kernel = StockKernel(name, header(f"{name}.h"), PLACES + pointers + called)
    threads = 1024 if looped else -(-size // 128) * 32

    def run(rows: np.ndarray) -> np.ndarray:
        out = np.zeros(rows.shape if name == "softmax" else rows.shape[:1], dtype=np.float32)
        grid = (len(rows) * threads, 1, 1)
        return kernel.launch([rows, out, np.array([size], dtype=np.int32)], grid, (threads, 1, 1))[1]

    rows = 3 * drawn(size, 16, size)
    alone = np.concatenate([run(row[None]) for row in rows])
    for count in (2, 5, 16):
        np.testing.assert_array_equal(run(rows[:count]), alone[:count])
    exact = np.exp(rows.astype(np.float64))
    wanted = exact / exact.sum(1, keepdims=True) if name == "softmax" else np.log(exact.sum(1))
    np.testing.assert_allclose(alone, wanted, rtol=1e-4, atol=1e-9)


class Attention:
    """The vector kernels over the first `keys` of an array with more room, causal."""

    def __init__(self) -> None:
        constants = "has_mask = bool_mask = float_mask = has_sinks = query_transposed = false; do_causal = n[2];"
        pointers = """
auto q = (const float*)buffers[0]; auto k = (const float*)buffers[1]; auto v = (const float*)buffers[2];
auto out = (float*)buffers[3]; auto n = (const int*)buffers[4]; auto s = (const size_t*)buffers[5];
const float scale = 0.125f; const int none = 0; blocks = n[3];
"""
        text, kind = header("sdpa_vector.h"), f"<float, {WIDTH}>"
        masks = "(const bool*)nullptr, (const float*)nullptr, none, none, none, (const float*)nullptr"
        at = "at.threadgroup_position_in_grid, at.threadgroups_per_grid"
        ids = "at.simdgroup_index_in_threadgroup, at.thread_index_in_simdgroup"
        self._one = StockKernel(
            "sdpa_vector",
            text,
            pointers + constants + f"sdpa_vector{kind}(q, k, v, out, n[0], n[1], s[0], s[1], s[0], s[1], scale, "
            f"{masks}, none, {at}, {ids});",
        )
        sums = "auto sums = (float*)buffers[6]; auto maxs = (float*)buffers[7];"
        self._first = StockKernel(
            "sdpa_vector_2pass_1",
            text,
            pointers + constants + sums + f"sdpa_vector_2pass_1{kind}(q, k, v, out, sums, maxs, n[1], s[0], s[1], "
            f"s[0], s[1], scale, {masks}, at.threads_per_threadgroup, at.thread_position_in_threadgroup, {at}, "
            "at.thread_index_in_simdgroup);",
        )
        self._second = StockKernel(
            "sdpa_vector_2pass_2",
            text,
            "auto sums = (const float*)buffers[1]; auto maxs = (const float*)buffers[2]; blocks = *(int*)buffers[4];"
            f"sdpa_vector_2pass_2<float, {WIDTH}>((const float*)buffers[0], sums, maxs, (float*)buffers[3], blocks, "
            f"{at}, {ids});",
        )
        self.held = [drawn(seed, KV_HEADS, CAPACITY, WIDTH) for seed in (1, 2)]
        self.queries = 3 * drawn(3, HEADS, 8, WIDTH)

    def rows(self, count: int, keys: int, blocks: int | None = None) -> np.ndarray:
        """`[count, heads, width]` of the newest `count` of `keys` tokens; with `blocks` in two launches."""
        queries = np.ascontiguousarray(self.queries[:, 8 - count :])
        facts = np.array([HEADS // KV_HEADS, keys, count > 1, blocks or 0], dtype=np.int32)
        strides = np.array([CAPACITY * WIDTH, WIDTH], dtype=np.uint64)
        out = np.zeros((HEADS, count, WIDTH), dtype=np.float32)
        if blocks is None:
            given = [queries, *self.held, out, facts, strides]
            found = self._one.launch(given, (HEADS * 1024, count, 1), (1024, 1, 1))[3]
            return found.swapaxes(0, 1)
        partials = np.zeros((HEADS, count, blocks, WIDTH), dtype=np.float32)
        sums = [np.zeros((HEADS, count, blocks), dtype=np.float32) for _ in range(2)]
        group = (32, HEADS // KV_HEADS, count)
        given = [queries, *self.held, partials, facts, strides, *sums]
        *_, partials, _, _, first, second = self._first.launch(given, (KV_HEADS * 32, group[1], count * blocks), group)
        given = [partials, first, second, out, np.array([blocks], dtype=np.int32)]
        return self._second.launch(given, (HEADS * 1024, count, 1), (1024, 1, 1))[3].swapaxes(0, 1)


def blocks_of(size: str, keys: int, simdgroups: int) -> int:
    """In how many blocks MLX divides keys, up to 8,192 of them, by the size of the chip (`sdpa_vector_2pass`)."""
    if size == "s":
        return 128 if keys > 1024 and simdgroups > 4 else 64
    return 128 if size == "d" else 64 if simdgroups >= 4 else 32


@pytest.mark.usefixtures("emulator")
def test_the_vector_attention_keeps_rows_apart_in_one_launch_and_not_in_two() -> None:
    attention = Attention()
    for keys in (40, 300):
        alone = np.concatenate([attention_row(attention, row, keys) for row in range(8)])
        for count in (2, 3, 8):
            np.testing.assert_array_equal(attention.rows(count, keys), alone[8 - count :])
    keys, group = 1200, HEADS // KV_HEADS
    one, two = (blocks_of("s", keys, group * count) for count in (1, 2))
    assert (one, two) == (64, 128)
    alone_in_two = attention.rows(1, keys, one)
    np.testing.assert_array_equal(attention.rows(2, keys, one)[1], alone_in_two[0])
    together = attention.rows(2, keys, two)
    assert not np.array_equal(together[1], alone_in_two[0])
    assert not np.array_equal(attention.rows(1, keys), alone_in_two), "nor has one launch these bits"
    np.testing.assert_allclose(together[1], alone_in_two[0], atol=1e-5)


def attention_row(attention: Attention, row: int, keys: int) -> np.ndarray:
    """The row alone, whose end is `7 - row` keys before the last."""
    whole, attention.queries = attention.queries, np.roll(attention.queries, 7 - row, axis=1)
    try:
        return attention.rows(1, keys - 7 + row)
    finally:
        attention.queries = whole


class Product:
    """The affine products of few rows, 4 bits, groups of 64, in float32."""

    def __init__(self) -> None:
        text = functions(header("quantized.h"), *NEEDED)
        pointers = """
auto w = (const uint32_t*)buffers[0]; auto s = (const float*)buffers[1]; auto b = (const float*)buffers[2];
auto x = (const float*)buffers[3]; auto y = (float*)buffers[4]; auto n = (const int*)buffers[5];
"""
        ids = "at.threadgroup_position_in_grid, at.simdgroup_index_in_threadgroup, at.thread_index_in_simdgroup"
        self.narrow = StockKernel(
            "qmv_fast", text, pointers + f"qmv_fast_impl<float, {GROUP}, {BITS}>(w, s, b, x, y, n[0], n[1], {ids});"
        )
        wide = f"qmv_wide_impl<float, {GROUP}, {BITS}, TILE, 8>(w, s, b, x, y, n[0], n[1], n[2], {ids});"
        calls = "switch (n[3]) {" + "".join(
            f"case {tile}: {wide.replace('TILE', str(tile))} break;" for tile in range(2, 6)
        )
        self.wide = StockKernel("qmv_wide", text, pointers + calls + "}")
        weights = mx.array(drawn(5, OUTPUTS, INPUTS))
        self.weights = [np.array(part) for part in mx.quantize(weights, group_size=GROUP, bits=BITS)]
        self.x = drawn(6, 16, INPUTS)

    def rows(self, count: int, *, wide: bool) -> np.ndarray:
        """`[count, outputs]` of the first rows."""
        passes = math.ceil(count / 5)
        tile = math.ceil(count / passes)
        out = np.zeros((count, OUTPUTS), dtype=np.float32)
        facts = np.array([INPUTS, OUTPUTS, count, tile], dtype=np.int32)
        given = [*self.weights, self.x[:count], out, facts]
        columns = math.ceil(count / tile) if wide else count
        return (self.wide if wide else self.narrow).launch(given, (32 * columns, 2, 1), (32, 2, 1))[4]


@pytest.mark.usefixtures("emulator")
def test_a_second_row_has_another_product_where_the_wide_one_serves() -> None:
    product = Product()
    wanted = np.array(
        mx.quantized_matmul(mx.array(product.x), *map(mx.array, product.weights), group_size=GROUP, bits=BITS)
    )
    narrow, wide = product.rows(16, wide=False), product.rows(16, wide=True)
    for found in (narrow, wide):
        np.testing.assert_allclose(found, wanted, atol=2e-4)
    for count in (1, 2, 5, 9):
        np.testing.assert_array_equal(product.rows(count, wide=False), narrow[:count])
        if count > 1:
            np.testing.assert_array_equal(product.rows(count, wide=True), wide[:count])
    assert (narrow != wide).any(axis=1).all()
