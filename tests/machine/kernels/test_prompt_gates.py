"""Gates of prompts on a CPU: what they are by definition, and rows that do not see each other."""

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.activations import swiglu as mlxs

from mlx_spec.machine.kernels.prompt_gates import swiglu, takes
from tests.unfused import fusing, untraced


def _drawn(rows: int, width: int = 384) -> tuple[mx.array, mx.array]:
    gate, x = (mx.random.normal((1, rows, width), key=mx.random.key(seed)) for seed in range(2))
    return 8 * gate, x


def test_they_are_what_they_are_defined_as_but_for_the_last_digits() -> None:
    gate, x = _drawn(20)
    wide = np.array(gate, dtype=np.float64)
    expected = wide / (1 + np.exp(-wide)) * np.array(x, dtype=np.float64)
    found = np.array(swiglu(gate, x))
    near = np.abs(wide) < 20
    assert np.max(np.abs(found[near] / expected[near] - 1)) < 2.5e-6
    assert np.max(np.abs(found - expected)) < 1e-5
    assert np.max(np.abs(np.array(mlxs(gate, x)) - found)) < 1e-5


def test_what_is_far_out_is_nothing_or_all_and_what_is_no_number_stays_none() -> None:
    gate = mx.array([-200.0, -90.0, 0.0, 90.0, 200.0, mx.nan])
    found = swiglu(gate, mx.ones((6,)))
    assert found[:5].tolist() == [0.0, 0.0, 0.0, 90.0, 200.0]
    assert mx.isnan(found[5]).item()


@pytest.mark.parametrize("width", [384, 385, 3])
def test_a_rows_bits_are_its_own(width: int) -> None:
    gate, x = _drawn(33, width)
    together = swiglu(gate, x)
    for rows in (1, 2, 7, 16):
        assert mx.array_equal(swiglu(gate[:, -rows:], x[:, -rows:]), together[:, -rows:]).item()


def test_the_loops_have_the_same_bits_however_they_are_made() -> None:
    gate, x = _drawn(9)
    found = []
    for how in (fusing(True), fusing(False), untraced()):
        with how:
            found.append(swiglu(gate, x))
            mx.eval(found)
    assert all(mx.array_equal(one, found[0]).item() for one in found)


def test_half_types_are_left_to_mlx() -> None:
    gate, x = _drawn(1)
    assert takes(gate, x)
    assert not takes(gate.astype(mx.bfloat16), x.astype(mx.bfloat16))
