"""What the machine offers."""

import sys
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import pytest

from mlx_spec.models import memory


def test_the_machine_has_a_device_and_memory() -> None:
    device, sizes = memory.device_info(), memory.memory_info()
    assert device.name
    assert device.kind in ("cpu", "gpu")
    assert 0 < sizes.available_bytes <= sizes.total_bytes
    assert (sizes.working_set_bytes is not None) == device.metal


def test_weights_are_counted_once() -> None:
    model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.Linear(4, 8, bias=False))
    assert memory.weights_bytes(model) == 2 * 4 * 8 * 4
    model.layers[1].weight = model.layers[0].weight
    assert memory.weights_bytes(model) == 4 * 8 * 4
    assert memory.weights_bytes(nn.QuantizedLinear(64, 32, bias=False, bits=4)) < 64 * 32 * 4
    mx.eval(model.parameters())


@pytest.mark.skipif(sys.platform == "darwin", reason="Accelerate serves there")
@pytest.mark.parametrize(
    ("line", "blas"),
    [
        (
            "7f00-7f01 r-xp 00000000 08:01 1 /usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblasp-r0.3.21.so",
            "openblas",
        ),
        ("7f00-7f01 r-xp 00000000 08:01 1 /venv/numpy.libs/libscipy_openblas64_-32a4b2a6.so", "the MLX wheel's own"),
        ("", "the MLX wheel's own"),
    ],
)
def test_numpys_own_openblas_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, blas: str
) -> None:
    maps = tmp_path / "maps"
    maps.write_text(line + "\n")
    monkeypatch.setattr(memory, "_MAPS", maps)
    assert memory.serving_blas() == blas
