"""No sum's shape depends on the number of rows: the text says so, and a text that does otherwise is caught, by its
reading and by its results."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import mlx.core as mx
import pytest

from mlx_spec.machine.kernels.metal import MetalKernel
from mlx_spec.machine.kernels.products.few_rows import MATMUL, MOST_ROWS, few_rows_matmul
from mlx_spec.machine.kernels.products.weights import Packing
from tests.machine.kernels.emulator.launches import Emulator, compile_ahead, emulated
from tests.machine.kernels.emulator.source import Traced
from tests.machine.kernels.products.cases import PACKINGS, dtype_of, name_of, packed, rows_of
from tests.machine.kernels.products.row_lint import complaints, launches_alike

INPUTS: Final = 384
PACKING: Final = Packing("affine", 4, 32)
MUTATIONS: Final = {
    "which units a lane adds": ("uint unit = lane;", "uint unit = (lane + ROWS) % 32;"),
    "in which order it adds them": ("values[i][j], sums", "values[i][(j + ROWS) % 8], sums"),
    "whether a product is rounded": (
        "sums[i][row] = fma(input, values[i][j], sums[i][row])",
        "sums[i][row] = ROWS > 2 ? fma(input, values[i][j], sums[i][row]) : input * values[i][j] + sums[i][row]",
    ),
    "in how many steps": ("j++) {\n      const float input", "j += ROWS > 2 ? 2 : 1) {\n      const float input"),
    "another row's sum": (
        "const float sum = simd_sum(sums[i][row]);",
        "const float sum = simd_sum(sums[i][row] + 0.0f * sums[i][0]);",
    ),
}


def mutated(name: str) -> Callable[[MetalKernel, Traced], Traced]:
    old, new = MUTATIONS[name]

    def rewrite(kernel: MetalKernel, traced: Traced) -> Traced:
        assert traced.text.count(old) == 1
        text = traced.text.replace(old, new)
        if name == "in which order it adds them":  # of both factors
            text = text.replace("unit * 8 + j])", "unit * 8 + (j + ROWS) % 8])").replace(
                "weights[row * inputs + unit * 8 + (j + ROWS) % 8]", "weights[row * inputs + unit * 8 + j]"
            )
        return replace(traced, text=text)

    return rewrite


def launched(emulator: Emulator, packing: Packing, rows: int) -> Traced:
    emulator.runs = False
    dtype = dtype_of(packing)
    with emulated(emulator):
        few_rows_matmul(rows_of(rows, INPUTS, dtype), packed(packing, 11, INPUTS, dtype=dtype))
    return emulator.traced[-1]


@pytest.mark.parametrize("packing", PACKINGS, ids=name_of)
def test_every_width_is_one_text(emulator: Emulator, packing: Packing) -> None:
    alone = launched(emulator, packing, 1)
    assert complaints(alone) == []
    for rows in range(2, MOST_ROWS + 1):
        assert launches_alike(launched(emulator, packing, rows), alone)


def test_loops_over_sums_are_unrolled() -> None:
    """Else compilers leave sums in memory, nvcc for one does at 16 rows: see `tests/machine/kernels/cuda`."""
    text = f"{MATMUL.header()}\n{MATMUL.body()}"
    loops = re.findall(r"(#pragma unroll)?\n *for \(uint (\w+) = ", text)
    assert len(loops) == 12
    assert {name for unrolled, name in loops if not unrolled} == {"unit"}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_reading_finds_what_depends_on_rows(emulator: Emulator, name: str) -> None:
    emulator.rewrite = mutated(name)
    assert complaints(launched(emulator, PACKING, 3))


def test_the_reading_finds_what_a_launch_would_tell(emulator: Emulator) -> None:
    emulator.rewrite = None
    traced = launched(emulator, PACKING, 3)
    told = replace(traced.parameters[0], name="activations_shape")
    assert complaints(replace(traced, parameters=(*traced.parameters, told))) == ["it is told activations_shape"]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Callable[[Emulator], bool]]:
    """Of each mutation, whether rows have the same bits alone and beside others; all compiled at once."""
    x, weights = rows_of(5, INPUTS, mx.float32), packed(PACKING, 11, INPUTS, dtype=mx.float32)
    neighbours = mx.array(x)
    neighbours[0] = mx.nan

    def agree() -> bool:
        alone = mx.concatenate([few_rows_matmul(neighbours[row : row + 1], weights) for row in range(5)])
        return bool(mx.array_equal(few_rows_matmul(neighbours, weights), alone, equal_nan=True).item())

    def outcome(name: str | None) -> Callable[[Emulator], bool]:
        def of(emulator: Emulator) -> bool:
            emulator.rewrite = None if name is None else mutated(name)
            with emulated(emulator):
                return agree()

        return of

    for name in MUTATIONS:
        compile_ahead(agree, mutated(name))
    return {str(name): outcome(name) for name in (None, *MUTATIONS)}


@pytest.mark.parametrize("name", [None, *MUTATIONS], ids=str)
def test_the_results_show_it_too(
    emulator: Emulator, outcomes: dict[str, Callable[[Emulator], bool]], name: str | None
) -> None:
    assert outcomes[str(name)](emulator) == (name is None)
