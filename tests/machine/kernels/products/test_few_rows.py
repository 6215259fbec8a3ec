"""The few-row matmul: right to float32's rounding, one read of the weights, used only where measured faster."""

import json
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_spec.machine.kernels.few_rows_matmul import FewRowsLinear, adopt, few_rows_matmul, measure, shape_of, supports
from mlx_spec.machine.kernels.matmul_times import MatmulShape, MatmulTimes

from tests.machine.kernels.emulator.launches import Emulator, emulated
from tests.machine.kernels.emulator.run import REVERSE


def quantised(outputs: int, inputs: int, bits: int, group: int, rows: int, dtype: mx.Dtype) -> tuple[mx.array, ...]:
    generator = np.random.default_rng(outputs + rows)
    weights = mx.array(generator.normal(size=(outputs, inputs)).astype(np.float32)).astype(dtype)
    x = mx.array(generator.normal(size=(rows, inputs)).astype(np.float32)).astype(dtype)
    return x, *mx.quantize(weights, group_size=group, bits=bits)


def exact(x: mx.array, weights: mx.array, scales: mx.array, biases: mx.array, bits: int, group: int) -> np.ndarray:
    words = np.array(weights).astype(np.uint64)
    shifts = np.arange(0, 32, bits, dtype=np.uint64)
    numbers = ((words[..., None] >> shifts) & np.uint64(2**bits - 1)).reshape(words.shape[0], -1).astype(np.float64)
    wide = [np.repeat(np.array(part.astype(mx.float32)).astype(np.float64), group, axis=1) for part in (scales, biases)]
    return np.array(x.astype(mx.float32)).astype(np.float64) @ (numbers * wide[0] + wide[1]).T


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("bits", "group", "rows", "outputs", "inputs"),
    [(4, 32, 2, 11, 96), (4, 64, 9, 40, 576), (4, 128, 16, 8, 1024), (8, 32, 5, 9, 160), (8, 64, 2, 24, 576)],
    ids=str,
)
def test_within_the_stock_kernels_own_rounding(
    emulator: Emulator, bits: int, group: int, rows: int, outputs: int, inputs: int, dtype: mx.Dtype
) -> None:
    given = quantised(outputs, inputs, bits, group, rows, dtype)
    with emulated(emulator):
        ours = few_rows_matmul(*given, group_size=group, bits=bits)
    stock = mx.quantized_matmul(*given, transpose=True, group_size=group, bits=bits)
    wanted = exact(*given, bits, group)
    error, stock_error = (
        np.abs(np.array(found.astype(mx.float32)).astype(np.float64) - wanted).max() for found in (ours, stock)
    )
    # The last step rounds to `dtype` in both; half a unit of the largest product is what that alone may cost.
    unit = np.abs(wanted).max() * {mx.float16: 2.0**-11, mx.bfloat16: 2.0**-8}[dtype]
    assert error <= max(stock_error, unit)
    assert ours.dtype == dtype


def test_no_order_of_threads_and_no_sanitizer_objects(emulator: Emulator) -> None:
    given = quantised(11, 96, 4, 32, 3, mx.float16)
    with emulated(emulator):
        forward = few_rows_matmul(*given, group_size=32, bits=4)
    for how in (Emulator(order=REVERSE), Emulator(order=4), Emulator(build="address"), Emulator(build="thread")):
        with emulated(how):
            assert mx.array_equal(few_rows_matmul(*given, group_size=32, bits=4), forward)


@pytest.mark.parametrize(("bits", "rows"), [(4, 9), (8, 2)])
def test_the_weights_are_read_once_for_all_rows(emulator: Emulator, bits: int, rows: int) -> None:
    """Lanes that share a group ask for its scale in one load, of one address: those are not counted."""
    given = quantised(64, 576, bits, 64, rows, mx.float16)
    emulator.counted = {"few_rows_matmul": ("weights",)}
    with emulated(emulator):
        few_rows_matmul(*given, group_size=64, bits=bits)
    assert 1.0 <= emulator.bytes_read / given[1].nbytes <= 1.05


def table(tmp_path: Path, stock: float, ours: float, shape: MatmulShape) -> MatmulTimes:
    """A table that measured these times, through its file."""
    times = MatmulTimes(tmp_path / "times.json")
    times.measure(shape, lambda: mx.array(0), lambda: mx.array(0))
    times.save()
    kept = json.loads((tmp_path / "times.json").read_text())
    kept["times"][0] |= {"stock_us": stock, "ours_us": ours}
    (tmp_path / "times.json").write_text(json.dumps(kept))
    return MatmulTimes(tmp_path / "times.json")


SHAPE = MatmulShape(5, 40, 64, 4, 64, str(mx.float16))


def test_only_five_per_cent_count_as_faster(tmp_path: Path) -> None:
    assert table(tmp_path, 100.0, 95.0, SHAPE).faster(SHAPE)
    assert not table(tmp_path, 100.0, 95.1, SHAPE).faster(SHAPE)
    other = MatmulShape(6, 40, 64, 4, 64, str(mx.float16))
    assert not table(tmp_path, 100.0, 1.0, SHAPE).faster(other)


def test_a_table_of_another_machine_or_a_damaged_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    table(tmp_path, 100.0, 10.0, SHAPE)
    path.write_text(path.read_text().replace('"cpu"', '"Apple M9"'))
    assert not MatmulTimes(path).knows(SHAPE)
    for damaged in ("", "{", "[]", '{"machine": {}}'):
        path.write_text(damaged)
        assert not MatmulTimes(path).knows(SHAPE)


def layer_of(rows: int) -> tuple[nn.QuantizedLinear, mx.array]:
    linear = nn.Linear(64, 40)
    linear.set_dtype(mx.float16)
    layer = nn.QuantizedLinear.from_linear(linear, group_size=64, bits=4)
    return layer, mx.random.normal((1, rows, 64), key=mx.random.key(1)).astype(mx.float16)


def test_a_model_takes_the_kernel_where_it_is_faster_and_nowhere_else(emulator: Emulator, tmp_path: Path) -> None:
    layer, x = layer_of(5)
    expected, wider = layer(x), mx.concatenate([x, x[:, :1]], axis=1)
    expected_wider = layer(wider)
    model = nn.Sequential(layer)
    with emulated(emulator):
        assert adopt(model, table(tmp_path, 100.0, 50.0, shape_of(layer, 5, mx.float16))) == 1
        assert isinstance(layer, FewRowsLinear)
        got = model(x)
        assert emulator.launched == ["few_rows_matmul"]
        assert mx.array_equal(model(wider), expected_wider)
        assert emulator.launched == ["few_rows_matmul"]
    assert mx.allclose(got, expected, atol=2e-2).item()


def test_measuring_keeps_the_times_of_both(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, _ = layer_of(2)
    times = MatmulTimes(tmp_path / "times.json")

    def microseconds(call: Callable[[], mx.array]) -> float:
        """By a clock that is slow for our kernel: by that one knows whose time is whose."""
        launched = len(emulator.launched)
        mx.eval(call())
        return 20.0 if len(emulator.launched) > launched else 10.0

    monkeypatch.setattr("mlx_spec.machine.kernels.matmul_times._microseconds", microseconds)
    with emulated(emulator):
        measure(nn.Sequential(layer), times, range(2, 4))
    again = MatmulTimes(tmp_path / "times.json")
    assert [shape.rows for shape, _ in again.rows()] == [2, 3]
    assert all((measured.stock_us, measured.ours_us) == (10.0, 20.0) for _, measured in again.rows())
    assert not any(again.faster(shape) for shape, _ in again.rows())


def test_without_metal_nothing_is_measured_or_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_SPEC_KERNELS", "off")
    layer, _ = layer_of(2)
    times = MatmulTimes(tmp_path / "times.json")
    measure(nn.Sequential(layer), times)
    assert adopt(nn.Sequential(layer), times) == 0
    assert times.rows() == []
    assert type(layer) is nn.QuantizedLinear


def test_what_it_was_not_written_for_is_left_to_mlx() -> None:
    assert supports(SHAPE)
    for change in ({"bits": 3}, {"group_size": 16}, {"rows": 1}, {"rows": 17}, {"dtype": str(mx.float32)}):
        values = {name: getattr(SHAPE, name) for name in MatmulShape.__slots__} | change
        assert not supports(MatmulShape(**values))
