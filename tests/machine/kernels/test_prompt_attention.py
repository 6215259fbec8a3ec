"""Attention of prompts on a CPU: an exponential to the last digit but one, and rows that do not see each other."""

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.machine.kernels.prompt_attention import exponentials, prompt_attention, takes
from tests.unfused import fusing, untraced

ROWS, LENGTH, WIDTH = 16, 300, 8


def _drawn(heads: int = 6, kv_heads: int = 2, rows: int = ROWS, dtype: mx.Dtype = mx.float32) -> list[mx.array]:
    shapes = (1, heads, rows, WIDTH), (1, kv_heads, LENGTH, WIDTH), (1, kv_heads, LENGTH, WIDTH)
    return [
        (3 * mx.random.normal(shape, key=mx.random.key(seed))).astype(dtype)  # far enough apart to tell
        for seed, shape in enumerate(shapes)
    ]


def _causal(rows: int = ROWS) -> mx.array:
    return mx.arange(LENGTH)[None] <= mx.arange(LENGTH - rows, LENGTH)[:, None]


def _expected(queries: mx.array, keys: mx.array, values: mx.array, mask: mx.array | None) -> np.ndarray:
    """By the definition, in float64."""
    q, k, v = (np.array(array.astype(mx.float32), dtype=np.float64) for array in (queries, keys, values))
    k, v = (np.repeat(array, q.shape[1] // array.shape[1], axis=1) for array in (k, v))
    scores = q @ k.swapaxes(-1, -2) * WIDTH**-0.5
    if mask is not None:
        scores = np.where(np.array(mask), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    found: np.ndarray = weights / weights.sum(axis=-1, keepdims=True) @ v
    return found


def test_exponentials_are_right_but_for_the_last_digit() -> None:
    x = np.linspace(-87, 0, 200_001, dtype=np.float32)
    expected = np.exp(x.astype(np.float64))
    found = np.array(exponentials(mx.array(x)))
    assert np.max(np.abs(found / expected - 1)) < 8e-6  # the product with log2(e) is rounded where it is 125
    near = x > -1
    assert np.max(np.abs(found[near] / expected[near] - 1)) < 2.5e-7
    assert found[-1] == 1.0


def test_what_is_masked_weighs_nothing_and_what_is_no_number_stays_none() -> None:
    found = exponentials(mx.array([-mx.inf, -1e30, -88.0, mx.nan]))
    assert found[:3].tolist() == [0.0, 0.0, 0.0]
    assert mx.isnan(found[3]).item()


def test_the_loops_have_the_same_bits_however_they_are_made() -> None:
    x = -mx.random.uniform(0, 90, (5_000,), key=mx.random.key(1))
    found = []
    for how in (fusing(True), fusing(False), untraced()):
        with how:
            # What was traced before stays: so each is asked in a shape, and by a thread, of its own elsewhere.
            found.append(exponentials(x))
            mx.eval(found)
    assert all(mx.array_equal(one, found[0]).item() for one in found)


def _error(found: mx.array, expected: np.ndarray) -> float:
    return float(np.max(np.abs(np.array(found.astype(mx.float32)) - expected)))


def _theirs(queries: mx.array, keys: mx.array, values: mx.array, mask: mx.array | None) -> mx.array:
    return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=WIDTH**-0.5, mask=mask)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
@pytest.mark.parametrize("heads", [(2, 2), (6, 2), (4, 1)])
@pytest.mark.parametrize("masked", [True, False])
def test_it_is_attention_and_as_near_as_mlx_comes(dtype: mx.Dtype, heads: tuple[int, int], masked: bool) -> None:
    arrays, mask = _drawn(*heads, dtype=dtype), _causal() if masked else None
    expected = _expected(*arrays, mask)
    found = prompt_attention(*arrays, scale=WIDTH**-0.5, mask=mask)
    assert found.dtype == dtype
    assert _error(found, expected) <= 1.5 * _error(_theirs(*arrays, mask), expected) + 1e-6


def test_masks_of_windows_and_of_several_sequences() -> None:
    arrays = [mx.concatenate([array, array[::-1] * 0.5]) for array in _drawn()]
    mask = mx.stack([_causal(), _causal() & ~mx.roll(_causal(), -40, axis=1)])[:, None]
    mask = mask | mx.eye(LENGTH, dtype=mx.bool_)[-ROWS:]
    expected = _expected(*arrays, mask)
    found = prompt_attention(*arrays, scale=WIDTH**-0.5, mask=mask)
    assert _error(found, expected) <= 1.5 * _error(_theirs(*arrays, mask), expected) + 1e-6


def test_of_a_narrow_mask_what_stands_before_is_seen() -> None:
    arrays = _drawn()
    narrow = prompt_attention(*arrays, scale=WIDTH**-0.5, mask=mx.tri(ROWS, dtype=mx.bool_))
    assert mx.array_equal(narrow, prompt_attention(*arrays, scale=WIDTH**-0.5, mask=_causal())).item()


def test_a_row_does_not_see_the_rows_beside_it() -> None:
    queries, keys, values = _drawn()
    whole = prompt_attention(queries, keys, values, scale=WIDTH**-0.5, mask=_causal())
    others = mx.concatenate([queries[:, :, :8], 2 * queries[:, :, 8:]], axis=2)
    again = prompt_attention(others, keys, values, scale=WIDTH**-0.5, mask=_causal())
    assert mx.array_equal(whole[:, :, :8], again[:, :, :8]).item()


def test_it_takes_what_it_understands_where_that_pays() -> None:
    queries, keys, _ = _drawn()
    assert takes(queries, keys, "causal")
    assert takes(queries, keys, _causal())
    assert takes(queries, keys, None)
    assert not takes(queries, keys, _causal().astype(mx.float32))  # to be added
    assert not takes(queries[:, :, :1], keys, None)  # a row, as rounds have it
    assert not takes(queries[:, :5], keys, None)
