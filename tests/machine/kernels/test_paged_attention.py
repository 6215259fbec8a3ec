"""Attention over blocks: right to rounding, and each row's bits its own, by kernel and by fallback."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.acceptance.tree import tree_of
from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels import paged_attention as module
from mlx_spec.machine.kernels.paged_attention import paged_attention
from mlx_spec.machine.kernels.paged_rows import PagedRows, runs
from tests.machine.kernels.emulator.launches import Emulator, emulated
from tests.machine.kernels.emulator.run import REVERSE
from tests.machine.kernels.paged_cases import Answer, Shape, exact, laid

TREE = tree_of((0, 0, 1, 1, 2, 3, 3, 6))
SINKS = np.array([0.5, -2.0, 120.0, 0.0], dtype=np.float32)
OPTIONS: list[dict[str, Any]] = [{}, {"window": 1}, {"window": 21}, {"softcap": 2.0}, {"sinks": mx.array(SINKS)}]
NAMES = ["plain", "itself", "window", "softcap", "sinks"]


@contextmanager
def by(way: str, emulator: Emulator) -> Iterator[None]:
    """Whether the kernel or MLX's operations serve inside."""
    with emulated(emulator) if way == "kernel" else nullcontext():
        yield


WAYS = pytest.mark.parametrize("way", ["kernel", "fallback"])


def as_numbers(options: dict[str, Any]) -> dict[str, Any]:
    return {name: np.array(value) if isinstance(value, mx.array) else value for name, value in options.items()}


@WAYS
@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
@pytest.mark.parametrize("tree", [None, TREE], ids=["chain", "tree"])
def test_each_row_takes_what_it_sees(emulator: Emulator, way: str, options: dict[str, Any], tree: Any) -> None:
    shape = Shape()
    answers = [shape.answer(1, 3, 3), shape.answer(2, 300, 9, tree), shape.answer(3, 64, 1), shape.answer(4, 530, 2)]
    with by(way, emulator):
        got = np.array(laid(shape, answers, seed=5).attend(**options))
    wanted = np.concatenate([exact(answer, **as_numbers(options)) for answer in answers])
    np.testing.assert_allclose(got, wanted, atol=3e-6)
    assert emulator.launched == (["paged_partials", "paged_finish"] if way == "kernel" else [])


@WAYS
@pytest.mark.parametrize(
    "shape",
    [
        Shape(heads=9, kv_heads=3, width=64, value_width=64, block_tokens=64),
        Shape(heads=2, kv_heads=2, width=80, value_width=80),
        Shape(heads=6, kv_heads=1, width=96, value_width=64),
        Shape(heads=8, kv_heads=1, width=128, value_width=128, block_tokens=32),
        Shape(heads=2, kv_heads=1, width=256, value_width=256),
    ],
    ids=lambda shape: f"{shape.heads}-{shape.kv_heads}-{shape.width}",
)
def test_every_width_of_a_head(emulator: Emulator, way: str, shape: Shape) -> None:
    answers = [shape.answer(1, 70, 5), shape.answer(2, 40, 40), shape.answer(3, 9, 1)]
    with by(way, emulator):
        got = np.array(laid(shape, answers, seed=2).attend(scale=shape.width**-0.5))
    wanted = np.concatenate([exact(answer, scale=shape.width**-0.5) for answer in answers])
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@WAYS
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16], ids=str)
def test_half_types_are_as_near_as_mlxs_own(emulator: Emulator, way: str, dtype: mx.Dtype) -> None:
    shape = Shape(heads=4, kv_heads=2, width=64, value_width=64, block_tokens=64)
    drawn = shape.answer(3, 150, 3)
    rounded = [
        np.array(mx.array(a).astype(dtype).astype(mx.float32)) for a in (drawn.keys, drawn.values, drawn.queries)
    ]
    answer = Answer(*rounded)
    case = laid(shape, [answer], dtype=dtype)
    with by(way, emulator):
        got = case.attend()
    arrays = [mx.array(array).astype(dtype)[None] for array in (answer.keys, answer.values)]
    queries = case.queries.transpose(1, 0, 2)[None]
    stock = mx.fast.scaled_dot_product_attention(queries, *arrays, scale=0.3, mask="causal")[0].transpose(1, 0, 2)
    wanted = exact(answer)
    error, its_error = (np.abs(np.array(a.astype(mx.float32)) - wanted).max() for a in (got, stock))
    assert got.dtype == dtype
    assert error <= 1.5 * its_error


@WAYS
@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
def test_a_rows_bits_are_its_own(emulator: Emulator, way: str, options: dict[str, Any]) -> None:
    """Beside 0 to 15 other rows, other answers, in other blocks, in a wider table; all else is not a number."""
    shape = Shape()
    for length in (20, 300):  # the rows stand in two blocks, or behind a split
        newest = shape.answer(length, length, 16)
        others = [shape.answer(7, 600, 5), shape.answer(8, 2, 2)]
        with by(way, emulator):
            alone = [np.array(laid(shape, [newest.only(row)]).attend(**options))[0] for row in range(16)]
            for seed, answers in enumerate(([newest], [others[0], newest, others[1]])):
                at = 5 * seed
                got = np.array(laid(shape, answers, seed=seed).attend(**options))[at : at + 16]
                np.testing.assert_array_equal(got, np.stack(alone))


@WAYS
@pytest.mark.parametrize("count", [1, 3])
def test_what_a_window_has_passed_is_of_no_weight_whatever_it_is(emulator: Emulator, way: str, count: int) -> None:
    shape = Shape()
    for length, window in ((300, 21), (10, 4), (48, 17)):
        whole = shape.answer(length, length, count)
        passed = whole.text - window + 1
        holed = replace(whole, keys=whole.keys.copy(), values=whole.values.copy())
        holed.keys[:, :passed], holed.values[:, :passed] = np.nan, np.nan
        with by(way, emulator):
            got, expected = (laid(shape, [answer]).attend(window=window) for answer in (holed, whole))
        assert mx.array_equal(got, expected)


def test_a_tree_has_the_bits_of_its_paths(emulator: Emulator) -> None:
    """By the kernel, wherever a node is stored; the fallback masks where it is, and rounds otherwise."""
    shape = Shape()
    for options in OPTIONS:
        answer = shape.answer(11, 262, 9, TREE)  # the text ends just before a split
        with emulated(emulator):
            alone = [np.array(laid(shape, [answer.only(row)]).attend(**options))[0] for row in range(9)]
            got = laid(shape, [shape.answer(1, 30, 2), answer], seed=4).attend(**options)
        np.testing.assert_array_equal(np.array(got)[2:], np.stack(alone))


def test_no_order_of_threads_and_no_sanitizer_objects(emulator: Emulator) -> None:
    shape = Shape(heads=6, kv_heads=2, width=40, value_width=24)
    case = laid(shape, [shape.answer(1, 270, 2), shape.answer(2, 30, 9, TREE)], seed=1)
    with emulated(emulator):
        forward = case.attend(window=260)
    for how in (Emulator(order=REVERSE), Emulator(order=4), Emulator(build="address"), Emulator(build="thread")):
        with emulated(how):
            assert mx.array_equal(case.attend(window=260), forward)


def test_nothing_but_what_is_seen_is_read(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a window no key before it, but for those that its first group takes twice; of the text no key twice a head."""
    shape = Shape(heads=2, kv_heads=2, width=64, value_width=64, block_tokens=64)
    case = laid(shape, [shape.answer(1, 1000, 1)])
    emulator.counted = {"paged_partials": ("keys", "values")}
    per_token = 2 * 2 * 64 * 4
    with emulated(emulator):
        mx.eval(case.attend())
        assert emulator.bytes_read == 1000 * per_token
        emulator.bytes_read = 0
        mx.eval(case.attend(window=100))
    assert 100 * per_token <= emulator.bytes_read <= (100 + 2 * module._KEYS) * per_token


def test_the_text_that_is_compiled_depends_on_no_row_and_no_answer(emulator: Emulator) -> None:
    shape = Shape()
    with emulated(emulator):
        for answers, count in ((1, 1), (1, 40), (3, 8)):
            laid(shape, [shape.answer(1, 200 + count, count)] * answers).attend()
        laid(shape, [shape.answer(1, 200, 9, TREE)]).attend()
    for name in ("paged_partials", "paged_finish"):
        traced = [one for one in emulator.traced if name in one.name]
        assert len(traced) == 4
        assert len({(one.text, one.template) for one in traced}) == 1
    assert len({one.grid for one in emulator.traced}) > 4


def test_very_many_rows_go_in_several_launches_of_the_same_bits(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = Shape()
    case = laid(shape, [shape.answer(1, 60, 9, TREE), shape.answer(2, 40, 17)])
    with emulated(emulator):
        together = case.attend()
        monkeypatch.setattr(dispatch, "MOST_ROWS", 10)
        assert mx.array_equal(case.attend(), together)
    assert emulator.launched == ["paged_partials", "paged_finish"] * 4


def test_the_fallback_copies_no_context() -> None:
    shape = Shape(heads=4, kv_heads=4, width=64, value_width=64, block_tokens=64)
    answer = shape.answer(1, 4000, 1)
    for seed in (None, 3):  # in one run, and strewn
        case = laid(shape, [answer], seed=seed)
        mx.eval(case.queries, case.keys, case.values)
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        mx.eval(case.attend())
        assert mx.get_peak_memory() - before < case.keys.nbytes / 5


def test_tables_become_runs() -> None:
    assert runs([]) == []
    assert runs([4, 5, 6, 2, 1, 2]) == [(4, 7), (2, 3), (1, 3)]


def test_rows_that_do_not_fit_are_refused() -> None:
    for table, length, count in (((0,), 17, 1), ((0,), 3, 4), ((0,), 3, 0)):
        with pytest.raises(ValueError, match="answer 0 has"):
            PagedRows((table,), (length,), (count,), 16)
    with pytest.raises(ValueError, match="2 tables, 1 lengths"):
        PagedRows(((0,), (1,)), (3,), (1,), 16)
    rows, pool = PagedRows(((0,),), (3,), (1,), 16), mx.zeros((2, 2, 16, 8))
    with pytest.raises(ValueError, match="2 rows of trees"):
        PagedRows(((0,),), (3,), (1,), 16, seen=mx.ones((2, 2)) > 0, texts=(2,))
    for queries, keys, match in (
        (mx.zeros((2, 4, 8)), pool, "2 rows of queries for 1"),
        (mx.zeros((1, 3, 8)), pool, "do not go with keys"),
        (mx.zeros((1, 4, 8)), pool[:, :, :8], "no blocks of 16 tokens"),
    ):
        with pytest.raises(ValueError, match=match):
            paged_attention(queries, keys, pool, rows, scale=1.0)
