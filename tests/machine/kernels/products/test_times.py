"""What products take here is measured once, and kept."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import pytest

from mlx_spec.machine.kernels.products.layers import adopt
from mlx_spec.machine.kernels.products.measuring import measure
from mlx_spec.machine.kernels.products.times import MatmulShape, MatmulTimes
from tests.machine.kernels.emulator.launches import Emulator, emulated

SHAPE = MatmulShape(5, 40, 64, "affine", 4, 64, str(mx.float16))


def table(tmp_path: Path, stock: float, ours: float, shape: MatmulShape = SHAPE) -> MatmulTimes:
    """A table that measured these times, through its file."""
    times = MatmulTimes(tmp_path / "times.json")
    times.measure(shape, lambda: mx.array(0), lambda: mx.array(0))
    times.save()
    kept = json.loads((tmp_path / "times.json").read_text())
    kept["times"][0] |= {"stock_us": stock, "ours_us": ours}
    (tmp_path / "times.json").write_text(json.dumps(kept))
    return MatmulTimes(tmp_path / "times.json")


def test_only_five_per_cent_count_as_faster(tmp_path: Path) -> None:
    assert table(tmp_path, 100.0, 95.0).faster(SHAPE)
    assert not table(tmp_path, 100.0, 95.1).faster(SHAPE)
    for other in (replace(SHAPE, rows=6), replace(SHAPE, mode="mxfp4")):
        assert not table(tmp_path, 100.0, 1.0).faster(other)


def test_a_table_of_another_machine_or_a_damaged_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    table(tmp_path, 100.0, 10.0)
    path.write_text(path.read_text().replace('"cpu"', '"Apple M9"'))
    assert not MatmulTimes(path).knows(SHAPE)
    for damaged in ("", "{", "[]", '{"machine": {}}'):
        path.write_text(damaged)
        assert not MatmulTimes(path).knows(SHAPE)


def test_a_table_from_before_there_were_modes_is_none(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    table(tmp_path, 100.0, 10.0)
    path.write_text(path.read_text().replace('"mode"', '"was_no_field"'))
    assert MatmulTimes(path).rows() == []


def test_measuring_keeps_the_times_of_both(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mode = "mxfp4"
    layer = nn.QuantizedLinear(64, 40, bias=False, mode=mode)
    times = MatmulTimes(tmp_path / "times.json")

    def microseconds(call: Callable[[], mx.array]) -> float:
        """By a clock that is slow for our kernel: by that one knows whose time is whose."""
        launched = len(emulator.launched)
        mx.eval(call())
        return 20.0 if len(emulator.launched) > launched else 10.0

    monkeypatch.setattr("mlx_spec.machine.kernels.products.times._microseconds", microseconds)
    with emulated(emulator):
        measure(nn.Sequential(layer), times, mx.bfloat16, range(2, 4))
    again = MatmulTimes(tmp_path / "times.json")
    assert [(shape.rows, shape.mode, shape.dtype) for shape, _ in again.rows()] == [
        (2, mode, str(mx.bfloat16)),
        (3, mode, str(mx.bfloat16)),
    ]
    assert all((measured.stock_us, measured.ours_us) == (10.0, 20.0) for _, measured in again.rows())
    assert not any(again.faster(shape) for shape, _ in again.rows())


def test_without_metal_nothing_is_measured_or_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_SPEC_KERNELS", "off")
    layer = nn.QuantizedLinear(64, 40)
    times = MatmulTimes(tmp_path / "times.json")
    measure(nn.Sequential(layer), times, mx.float16)
    assert adopt(nn.Sequential(layer), times) == 0
    assert times.rows() == []
    assert type(layer) is nn.QuantizedLinear
