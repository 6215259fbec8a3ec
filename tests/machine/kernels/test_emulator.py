"""The emulator finds the faults that it is there for; a check that cannot fail would say nothing of the kernels."""

from dataclasses import dataclass

import mlx.core as mx
import numpy as np
import pytest

from tests.machine.kernels.emulator.build import Build
from tests.machine.kernels.emulator.launches import Emulator
from tests.machine.kernels.emulator.run import REVERSE, KernelError, poison, run
from tests.machine.kernels.emulator.source import trace

SUM = """
const uint self = thread_position_in_threadgroup.x, lane = thread_index_in_simdgroup;
threadgroup float parts[2];
float value = simd_sum(float(given[thread_position_in_grid.x]));
if (lane == 0) parts[simdgroup_index_in_threadgroup] = value;
threadgroup_barrier(mem_flags::mem_threadgroup);
if (self == 0) total[threadgroup_position_in_grid.x] = parts[0] + parts[1];
"""


@dataclass(frozen=True)
class Made:
    """A kernel made for a test, ready to run over `given`."""

    body: str

    def run(self, given: mx.array, *, order: int = 0, build: Build = "plain", groups: int = 1) -> np.ndarray:
        kernel = mx.fast.metal_kernel(name="made", input_names=["given"], output_names=["total"], source=self.body)

        def call(array: mx.array) -> list[mx.array]:
            return kernel(
                inputs=[array],
                template=[("T", mx.float32)],
                grid=(64 * groups, 1, 1),
                threadgroup=(64, 1, 1),
                output_shapes=[(groups,)],
                output_dtypes=[mx.float32],
            )

        buffers = [np.array(given).tobytes(), poison(4 * groups)]
        return np.frombuffer(run(trace(call, [given]), buffers, order=order, build=build).buffers[1], dtype=np.float32)


@pytest.fixture(autouse=True)
def _needs(emulator: Emulator) -> None:
    """Skips where there is no compiler."""


GIVEN = mx.arange(128).astype(mx.float32)
BUILDS: list[Build] = ["plain", "address", "thread"]


@pytest.mark.parametrize("build", BUILDS)
def test_a_right_kernel_runs_in_every_order_and_build(build: Build) -> None:
    for order in (0, REVERSE, 5):
        assert Made(SUM).run(GIVEN, order=order, build=build, groups=2).tolist() == [2016.0, 6112.0]


def test_a_missing_barrier_shows_in_shuffled_order_and_under_tsan() -> None:
    broken = Made(SUM.replace("threadgroup_barrier(mem_flags::mem_threadgroup);", ""))
    assert any(broken.run(GIVEN, order=order)[0] != 2016.0 for order in (0, REVERSE, *range(2, 12)))
    with pytest.raises(KernelError, match="data race"):
        broken.run(GIVEN, build="thread")


def test_a_missing_barrier_between_reading_and_writing_again_shows_under_tsan() -> None:
    again = SUM + "if (lane == 0) parts[simdgroup_index_in_threadgroup] = 0;\n"
    with pytest.raises(KernelError, match="data race"):
        Made(again).run(GIVEN, build="thread")


def test_threadgroup_memory_that_nobody_wrote_is_poison() -> None:
    unwritten = Made(SUM.replace("if (lane == 0) parts", "if (self == 0) parts"))
    assert unwritten.run(GIVEN)[0] > 1e30


def test_an_output_that_nobody_wrote_is_poison() -> None:
    assert Made(SUM.replace("if (self == 0)", "if (self == 99)")).run(GIVEN)[0] > 1e30


@pytest.mark.parametrize("call", ["threadgroup_barrier(mem_flags::mem_threadgroup)", "value = simd_sum(value)"])
def test_a_barrier_or_simd_operation_in_divergent_flow_ends_the_run(call: str) -> None:
    with pytest.raises(KernelError, match="divergent flow"):
        Made(SUM + f"if (self < 16) {call};\n").run(GIVEN)


def test_a_write_out_of_bounds_hits_a_canary_and_asan() -> None:
    beyond = Made(SUM + "if (self == 0) total[1] = 1.0f;\n")
    with pytest.raises(KernelError, match="outside buffer 1"):
        beyond.run(GIVEN)
    with pytest.raises(KernelError, match="heap-buffer-overflow"):
        beyond.run(GIVEN, build="address")


def test_a_read_out_of_bounds_is_found_by_asan() -> None:
    with pytest.raises(KernelError, match="heap-buffer-overflow"):
        Made(SUM).run(GIVEN[:100], build="address", groups=2)


def test_a_threadgroup_array_that_is_too_small_is_found_by_asan_or_ubsan() -> None:
    with pytest.raises(KernelError, match=r"AddressSanitizer|out of bounds"):
        Made(SUM.replace("parts[2]", "parts[1]")).run(GIVEN, build="address")


def test_undefined_arithmetic_is_found_by_ubsan() -> None:
    shifted = SUM.replace("= parts[0]", "= float(1 << (int(parts[0]) + 40)) + parts[0]")
    with pytest.raises(KernelError, match="shift exponent"):
        Made(shifted).run(GIVEN, build="address")
