"""Compaction keeps the accepted path's keys and values, and nothing else moves."""

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.machine.kernels.compact import compact
from tests.machine.kernels.emulator.launches import Emulator, emulated
from tests.machine.kernels.emulator.run import REVERSE

LENGTH, BEGIN = 20, 6


def caches(layers: int, dtype: mx.Dtype = mx.float32) -> list[mx.array]:
    generator = np.random.default_rng(layers)
    shapes = [(1, 2, LENGTH, 8), (1, 3, LENGTH, 5)]
    made = [generator.normal(size=shapes[i % 7 == 0]).astype(np.float32) for i in range(layers)]
    return [mx.array(array).astype(dtype) for array in made]


def moved(array: mx.array, indices: list[int]) -> np.ndarray:
    expected = np.array(array.astype(mx.float32))
    expected[:, :, BEGIN : BEGIN + len(indices)] = expected[:, :, [BEGIN + i for i in indices]]
    return expected


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)
@pytest.mark.parametrize("indices", [[0, 2, 5, 9], [3], [1, 2, 3], [0, 1, 4]], ids=str)
def test_the_path_moves_up_in_every_layer(emulator: Emulator, dtype: mx.Dtype, indices: list[int]) -> None:
    arrays = caches(61, dtype)
    with emulated(emulator):
        by_kernel = compact(arrays, BEGIN, indices)
    for array, got, fallback in zip(arrays, by_kernel, compact(arrays, BEGIN, indices), strict=True):
        expected = moved(array, indices)
        kept = np.s_[:, :, : BEGIN + len(indices)]
        np.testing.assert_array_equal(np.array(got.astype(mx.float32))[kept], expected[kept])
        np.testing.assert_array_equal(np.array(fallback.astype(mx.float32))[kept], expected[kept])
    assert emulator.launched == ["compact"] * 3  # 52 arrays of one shape, 9 of the other


def test_what_stands_in_its_place_is_not_touched(emulator: Emulator) -> None:
    arrays = caches(4)
    with emulated(emulator):
        for indices in ([], [0], [0, 1, 2]):
            assert all(a is b for a, b in zip(compact(arrays, BEGIN, indices), arrays, strict=True))
    assert emulator.launched == []


def test_no_order_of_threads_and_no_sanitizer_objects(emulator: Emulator) -> None:
    arrays, indices = caches(3), [1, 4, 13]
    for how in (Emulator(order=REVERSE), Emulator(order=3), Emulator(build="address"), Emulator(build="thread")):
        with emulated(how):
            for array, got in zip(arrays, compact(arrays, BEGIN, indices), strict=True):
                np.testing.assert_array_equal(
                    np.array(got)[:, :, : BEGIN + 3], moved(array, indices)[:, :, : BEGIN + 3]
                )
