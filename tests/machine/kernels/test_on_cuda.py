"""The program for a machine with a GPU runs, each launch emulated, and finds what it looks for."""

from pathlib import Path

import mlx.core as mx
import pytest

from mlx_spec.machine.kernels.products.layers import adopt
from mlx_spec.machine.kernels.products.times import MatmulTimes
from mlx_spec.machine.kernels.products.weights import DENSE
from tests.machine.kernels import on_cuda
from tests.machine.kernels.emulator.launches import Emulator, emulated
from tests.tiny import tiny_llama


def test_rows_that_see_others_are_counted() -> None:
    shares = on_cuda.differing(lambda at, count: mx.arange(at, at + count) + (count if count > 2 else 0), (1, 2, 4))
    assert shares == {1: 0.0, 2: 0.0, 4: 1.0}
    some = on_cuda.differing(lambda at, count: mx.arange(at, at + count) + (mx.arange(count) > 1), (2, 4))
    assert some == {2: 0.0, 4: 0.5}


@pytest.mark.usefixtures("dense_ahead")
def test_products_and_passes_are_looked_at(emulator: Emulator, tmp_path: Path) -> None:
    with emulated(emulator):
        (found,) = on_cuda.products(DENSE, [(9, 64)], (1, 2), repeats=1)
        assert found["ours_differing"] == {1: 0.0, 2: 0.0}
        assert found["ours_error"] <= 1
        assert set(on_cuda.speedups([found])) == {1, 2}
        model = tiny_llama(0)
        adopt(model, MatmulTimes(tmp_path / "none.json"))
        emulator.launched.clear()
        told = on_cuda.passes(model, "tiny", (1, 2), texts=1)
    assert set(told["strict"]) == set(told["fast"]) == {1, 2}
    assert "few_rows_matmul" in emulator.launched
    assert told["parts"]


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MLX_SPEC_KERNELS", "off")
    assert on_cuda.main(["--quick"]) == 2
    assert "needs a GPU" in capsys.readouterr().err
