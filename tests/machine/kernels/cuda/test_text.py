"""The same bodies as CUDA takes them: run in the emulator, with CUDA's names in the place of Metal's, and compiled by
nvcc where there is one. No GPU was at hand: `on_cuda.py` beside this is for one."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.machine.kernels.products.few_rows import MATMUL, expert_matmul, few_rows_matmul
from mlx_spec.machine.kernels.products.weights import DENSE, Packing
from tests.machine.kernels.cuda.text_of import cuda_text, rewritten
from tests.machine.kernels.emulator.launches import Emulator, compile_ahead, emulated
from tests.machine.kernels.emulator.source import Traced
from tests.machine.kernels.products.cases import PACKINGS, dtype_of, exact, name_of, packed, rounding, rows_of

INPUTS: Final = 384
WIDTHS: Final = (1, 2, 5, 16)
TRIED: Final = (Packing("affine", 3, 32), Packing("affine", 4, 64), Packing("nvfp4", 4, 16), DENSE)
EXPERTS: Final = mx.array([[0, 2], [1, 1], [2, 0]])
NVCC: Final = shutil.which("nvcc")
# What MLX's own header would bring, of which these kernels use the type of a shape.
UTILS: Final = """#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda/std/array>
namespace mlx::core::cu { using Shape = cuda::std::array<int32_t, 10>; }
"""


@pytest.fixture(scope="module", autouse=True)
def _compiled_ahead() -> None:
    compile_ahead(lambda: [_launched(packing) for packing in TRIED], rewritten)


def _launched(packing: Packing) -> tuple[list[mx.array], mx.array]:
    """Products of the first rows, at each width, and of rows with experts."""
    dtype = dtype_of(packing)
    x, weights = rows_of(max(WIDTHS), INPUTS, dtype), packed(packing, 11, INPUTS, dtype=dtype)
    experts = packed(packing, 3, 11, INPUTS, dtype=dtype)
    return [few_rows_matmul(x[:width], weights) for width in WIDTHS], expert_matmul(x[:3], experts, EXPERTS)


@pytest.mark.parametrize("packing", TRIED, ids=name_of)
def test_cudas_text_gives_the_same_products(emulator: Emulator, packing: Packing) -> None:
    emulator.rewrite = rewritten
    dtype = dtype_of(packing)
    with emulated(emulator):
        widths, with_experts = _launched(packing)
    assert {traced.name for traced in emulator.traced} == {"custom_kernel"}
    widest = widths[-1]
    assert all(mx.array_equal(found, widest[: found.shape[0]]) for found in widths)
    x = rows_of(max(WIDTHS), INPUTS, dtype)
    assert rounding(widest, exact(x, packed(packing, 11, INPUTS, dtype=dtype))) <= 1
    every = exact(x[None, :3], packed(packing, 3, 11, INPUTS, dtype=dtype))
    wanted = np.array([[every[expert, row] for expert in some] for row, some in enumerate(EXPERTS.tolist())])
    assert rounding(with_experts, wanted) <= 1


def _traced(packing: Packing, rows: int) -> Traced:
    dtype, emulator = dtype_of(packing), Emulator(runs=False)
    with emulated(emulator):
        few_rows_matmul(rows_of(rows, INPUTS, dtype), packed(packing, 11, INPUTS, dtype=dtype))
    return emulator.traced[0]


@pytest.mark.slow
@pytest.mark.skipif(NVCC is None or not os.environ.get("LOOKAHEAD_NVCC"), reason="takes a minute with LOOKAHEAD_NVCC=1")
@pytest.mark.parametrize("packing", PACKINGS, ids=name_of)
def test_nvcc_keeps_sums_in_registers_and_makes_every_step_an_fma(packing: Packing, tmp_path: Path) -> None:
    """And nothing else: no product is rounded before it is added, and no sum of a row is added to another's."""
    folder = tmp_path / "mlx" / "backend" / "cuda" / "device"
    folder.mkdir(parents=True)
    (folder / "utils.cuh").write_text(UTILS)
    (tmp_path / "kernel.cu").write_text(cuda_text(MATMUL, _traced(packing, 16)))
    assert NVCC is not None
    how = ["-std=c++17", "-arch=sm_90", "-I", str(tmp_path), "-cubin", "-Xptxas", "-v", "-keep"]
    done = subprocess.run([NVCC, *how, "kernel.cu"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0 bytes stack frame, 0 bytes spill stores" in done.stderr
    ptx = (tmp_path / "kernel.ptx").read_text()
    # 4 outputs: of each unit 8 steps a row, and of affine weights one a number; behind them 5 pairs of lanes a sum.
    steps = 4 * 8 * 16 + (4 * 8 if packing.mode == "affine" else 0)
    assert len(re.findall(r"\bfma\.rn\.f32", ptx)) == steps
    assert len(re.findall(r"\badd(?:\.rn)?\.f32", ptx)) == 4 * 16 * 5
