"""Attention over an answer's own arrays: right to rounding, and each row's bits its own, whoever is beside it."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.acceptance.tree import tree_of
from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.row_attention import SeenKeys, causal, everything, masked, row_attention
from tests.machine.kernels.emulator.launches import Emulator, emulated
from tests.machine.kernels.emulator.run import REVERSE
from tests.machine.kernels.paged_cases import Answer, Shape, exact, laid
from tests.machine.kernels.test_paged_attention import SINKS, WAYS, by

TREE = tree_of((0, 0, 1, 1, 2, 3, 3, 6))
SHAPE = Shape()


def attend(
    answers: list[Answer], seen: SeenKeys, capacity: int, dtype: mx.Dtype = mx.float32, **options: Any
) -> np.ndarray:
    """`[rows, heads, value width]`; keys and values stand in arrays with room for `capacity`, else not a number."""
    held = []
    for name in ("keys", "values"):
        parts = [getattr(answer, name) for answer in answers]
        array = np.full((len(parts), parts[0].shape[0], capacity, parts[0].shape[2]), np.nan, dtype=np.float32)
        for at, part in enumerate(parts):
            array[at, :, : part.shape[1]] = part
        held.append(mx.array(array).astype(dtype))
    queries = mx.array(np.stack([answer.queries for answer in answers])).astype(dtype).swapaxes(1, 2)
    found = row_attention(queries, *held, seen, scale=0.3, **options)
    return np.array(found.swapaxes(1, 2).flatten(0, 1).astype(mx.float32))


def mask_of(answer: Answer, capacity: int, window: int | None = None) -> mx.array:
    """What each row sees, as models' caches say it."""
    mask = np.zeros((answer.count, capacity), dtype=bool)
    for row in range(answer.count):
        mask[row, answer.sees(row)[-(window or capacity) :]] = True
    return mx.array(mask)


def in_order(answer: Answer, **options: Any) -> np.ndarray:
    return attend([answer], causal(1, answer.count, answer.length), answer.length, **options)


@WAYS
@pytest.mark.parametrize("window", [None, 1, 21], ids=str)
@pytest.mark.parametrize("tree", [None, TREE], ids=["chain", "tree"])
@pytest.mark.parametrize("sinks", [None, SINKS], ids=["plain", "sinks"])
def test_each_row_takes_what_it_sees(
    emulator: Emulator, way: str, window: int | None, tree: Any, sinks: np.ndarray | None
) -> None:
    options = {} if sinks is None else {"sinks": mx.array(sinks)}
    for length in (9, 300):
        answer = SHAPE.answer(length, length, 9, tree)
        capacity = length if way == "fallback" else length + 40  # MLX's own multiplies what is masked by 0
        with by(way, emulator):
            got = attend([answer], masked(mask_of(answer, capacity, window)), capacity, **options)
        np.testing.assert_allclose(got, exact(answer, window=window, sinks=sinks), atol=3e-6)
    assert emulator.launched == (["paged_partials", "paged_finish"] * 2 if way == "kernel" else [])


@WAYS
def test_rows_in_the_order_of_their_positions_need_no_mask(emulator: Emulator, way: str) -> None:
    answers = [SHAPE.answer(seed, 270, 3) for seed in (1, 2)]
    with by(way, emulator):
        got = attend(answers, causal(2, 3, 270), 270, length=270)
        every = attend(answers, everything(2, 3, 270), 270)
    np.testing.assert_allclose(got, np.concatenate([exact(answer) for answer in answers]), atol=3e-6)
    last = replace(answers[1], queries=answers[1].queries[:1])
    np.testing.assert_allclose(every[3], exact(last)[0], atol=3e-6)


def test_few_rows_over_few_keys_have_the_kernel_of_many(emulator: Emulator) -> None:
    """A compiler that is given another text, be it by where small arrays lie, might round otherwise."""
    emulator.runs = False
    with emulated(emulator):
        for length, count in ((3, 1), (5, 2), (40, 1), (300, 9), (300, dispatch.MOST_ROWS + 1)):
            answer = SHAPE.answer(length, length, count)
            attend([answer], masked(mask_of(answer, length)), length)
            in_order(answer)
    for name in ("paged_partials", "paged_finish"):
        texts = {one.text for one in emulator.traced if name in one.name}
        assert len(texts) == 1
        assert "#pragma METAL fp contract(off)" in texts.pop()


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16], ids=str)
def test_a_rows_bits_are_its_own(emulator: Emulator, dtype: mx.Dtype) -> None:
    """Among 1 to 16 rows, with more room behind, beside another sequence, told by a mask or not, over blocks or not."""
    for length in (17, 300):  # the rows stand in one split, or behind one
        newest, other = SHAPE.answer(length, length, 16), SHAPE.answer(7, length, 16)
        with emulated(emulator):
            alone = np.concatenate([in_order(newest.only(row), dtype=dtype) for row in range(16)])
            for count in range(1, 17):
                few = Answer(newest.keys, newest.values, newest.queries[16 - count :])
                roomy = attend([few], masked(mask_of(few, length + 300)), length + 300, dtype)
                np.testing.assert_array_equal(roomy, alone[16 - count :], strict=True)
                if count in (2, 5, 9, 16):
                    np.testing.assert_array_equal(in_order(few, dtype=dtype), alone[16 - count :], strict=True)
            beside = attend([other, newest], causal(2, 16, length), length, dtype)
            blocks = laid(SHAPE, [newest], seed=1, dtype=dtype).attend()
        np.testing.assert_array_equal(beside[16:], alone)
        np.testing.assert_array_equal(np.array(blocks.astype(mx.float32)), alone)


def test_a_window_is_the_text_that_it_shows(emulator: Emulator) -> None:
    """Also where a ring has wrapped, as a pass over one token leaves it."""
    answer = SHAPE.answer(4, 330, 5)
    shown = [answer.sees(row)[-290:] for row in range(5)]
    seen = [
        Answer(answer.keys[:, s], answer.values[:, s], answer.queries[row : row + 1]) for row, s in enumerate(shown)
    ]
    with emulated(emulator):
        alone = np.concatenate([in_order(one) for one in seen])
        np.testing.assert_array_equal(attend([answer], masked(mask_of(answer, 330, 290)), 330), alone)
        ring = [np.roll(array, 30, axis=1) for array in (seen[4].keys, seen[4].values)]
        turned = attend([Answer(*ring, seen[4].queries)], everything(1, 1, 290, begins=30), 290)
    np.testing.assert_array_equal(turned[0], alone[4])


def test_a_tree_has_the_bits_of_its_paths(emulator: Emulator) -> None:
    answer = SHAPE.answer(11, 262, 9, TREE)  # the text ends just before a split
    with emulated(emulator):
        alone = np.concatenate([in_order(answer.only(row)) for row in range(9)])
        got = attend([answer], masked(mask_of(answer, 300)), 300)
    np.testing.assert_array_equal(got, alone)


def test_no_order_of_threads_and_no_sanitizer_objects(emulator: Emulator) -> None:
    """There is no barrier, and no memory that threads share: no race to look for."""
    answer = Shape(heads=6, kv_heads=2, width=40, value_width=24).answer(3, 262, 9, TREE)
    seen = masked(mask_of(answer, 270))
    with emulated(emulator):
        forward = attend([answer], seen, 270)
    for how in (Emulator(order=REVERSE), Emulator(order=4), Emulator(build="address")):
        with emulated(how):
            np.testing.assert_array_equal(attend([answer], seen, 270), forward)


def test_the_text_that_is_compiled_depends_on_no_row_and_no_length(emulator: Emulator) -> None:
    with emulated(emulator):
        for length, count in ((40, 1), (300, 16), (700, 9)):
            in_order(SHAPE.answer(1, length, count))
    for name in ("paged_partials", "paged_finish"):
        traced = [one for one in emulator.traced if name in one.name]
        assert len({(one.text, one.template) for one in traced}) == 1


def test_very_many_rows_go_in_several_launches_of_the_same_bits(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = SHAPE.answer(5, 60, 25)
    with emulated(emulator):
        together = [in_order(answer), attend([answer], masked(mask_of(answer, 60)), 60)]
        monkeypatch.setattr(dispatch, "MOST_ROWS", 10)
        np.testing.assert_array_equal([in_order(answer), attend([answer], masked(mask_of(answer, 60)), 60)], together)
    assert emulator.launched == ["paged_partials", "paged_finish"] * 8


def test_it_can_stand_in_a_compiled_graph() -> None:
    """By the fallback: a mask and what comes of it are arrays all the way."""
    answer = SHAPE.answer(6, 40, 3)
    queries = mx.array(answer.queries).swapaxes(0, 1)[None]
    keys, values = mx.array(answer.keys)[None], mx.array(answer.values)[None]

    def attended(queries: mx.array, mask: mx.array) -> mx.array:
        return row_attention(queries, keys, values, masked(mask), scale=0.3)

    mask = mask_of(answer, 40)
    expected = attended(queries, mask)
    assert mx.array_equal(mx.compile(attended)(queries, mask), expected)


def test_shapes_that_do_not_go_together_are_refused() -> None:
    queries, keys = mx.zeros((1, 4, 2, 8)), mx.zeros((1, 2, 9, 8))
    for given, match in (
        ((queries, keys, keys[:, :, :8], causal(1, 2, 9)), "do not go with queries"),
        ((mx.zeros((2, 4, 2, 8)), keys, keys, causal(2, 2, 9)), "do not go with queries"),
        ((mx.zeros((1, 3, 2, 8)), keys, keys, causal(1, 2, 9)), "do not go with keys"),
        ((queries, keys, keys, causal(1, 3, 9)), "3 rows see something, of 2"),
    ):
        with pytest.raises(ValueError, match=match):
            row_attention(*given, scale=1.0)
