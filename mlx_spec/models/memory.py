"""What this machine offers a model: device, memory, and the BLAS that serves MLX. For `mlx-spec doctor`."""

import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

import mlx.core as mx
import mlx.nn as nn
import psutil
from mlx.utils import tree_flatten

from mlx_spec.machine import blas

Blas = Literal["openblas", "accelerate", "the MLX wheel's own"]
_MAPS = Path("/proc/self/maps")


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """The device MLX computes on by default. `kind` is cpu or gpu; `metal` tells whether that gpu is Apple's."""

    name: str
    kind: Literal["cpu", "gpu"]
    metal: bool
    blas: Blas


@dataclass(frozen=True, slots=True)
class MemoryInfo:
    """Memory in bytes. `working_set_bytes` is what Metal recommends to stay below, None elsewhere.

    `mlx_active_bytes` is what live arrays take, `mlx_cache_bytes` what MLX keeps to use again.
    """

    total_bytes: int
    available_bytes: int
    working_set_bytes: int | None
    mlx_active_bytes: int
    mlx_cache_bytes: int


def device_info() -> DeviceInfo:
    """Describe MLX's default device."""
    on_gpu = mx.default_device().type == mx.DeviceType.gpu
    name = mx.device_info().get("device_name", "unknown device")
    return DeviceInfo(str(name), "gpu" if on_gpu else "cpu", on_gpu and mx.metal.is_available(), serving_blas())


def memory_info() -> MemoryInfo:
    """Read the memory of the machine and of MLX."""
    memory = psutil.virtual_memory()
    working_set = mx.device_info().get("max_recommended_working_set_size")
    return MemoryInfo(
        total_bytes=int(memory.total),
        available_bytes=int(memory.available),
        working_set_bytes=int(working_set) if working_set is not None else None,
        mlx_active_bytes=mx.get_active_memory(),
        mlx_cache_bytes=mx.get_cache_memory(),
    )


def weights_bytes(model: nn.Module) -> int:
    """Return the bytes of all parameters; an array that two layers share counts once."""
    arrays = {id(array): array for _, array in tree_flatten(model.parameters())}
    return sum(array.nbytes for array in arrays.values())


_MIXED_BY_SUMS: Final[set[str]] = set()
"""Why rows are not independent though this machine's products are: what a group adds up over its machines."""


def rows_mix(why: str) -> None:
    """From now on rows of this process's passes see each other, whatever multiplies matrices here."""
    _MIXED_BY_SUMS.add(why)


def rows_are_independent() -> bool:
    """Whether a row of a pass has the same bits whatever other rows there are.

    So it is on a CPU with the MLX wheel's own BLAS (measured for float32, bfloat16, float16 and quantised weights);
    with other libraries it depends on the pass's width.
    """
    info = device_info()
    return not _MIXED_BY_SUMS and info.kind == "cpu" and info.blas == "the MLX wheel's own"


def blas_threads() -> int | None:
    """How many threads OpenBLAS multiplies matrices with: the bits of a row depend on it. None with another BLAS."""
    if serving_blas() != "openblas":
        return None
    for name in ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"):  # as it reads them itself
        if (said := os.environ.get(name, "")).isdecimal() and int(said) > 0:
            return int(said)
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()


def multiplies_by() -> str:
    """All that the bits of this machine's products may depend on, besides versions, in a line: two machines with the
    same line round alike, as far as can be told."""
    facts = sorted(f"{key} {value}" for key, value in mx.device_info().items())
    return ", ".join([str(mx.default_device()), platform.machine(), *facts, f"{blas_build()} x {blas_threads()}"])


def serving_blas() -> Blas:
    """Tell which BLAS multiplies matrices on the CPU: on Linux, OpenBLAS where it was preloaded into this process."""
    if sys.platform == "darwin":
        return "accelerate"
    return "openblas" if blas_file() is not None else "the MLX wheel's own"


def blas_build() -> str:
    """The same, and of OpenBLAS the processor whose kernels it takes: what the bits of a product depend on."""
    library = blas_file()
    kernels = blas.kernels_of(str(library)) if library is not None else ""
    return f"{serving_blas()}, {kernels} kernels" if kernels else serving_blas()


def blas_file() -> Path | None:
    """The OpenBLAS that was preloaded into this process; None where there is none."""
    return _preloaded_as(_MAPS)


@cache
def _preloaded_as(maps: Path) -> Path | None:
    """What is asked for with each answer, and stays as it was when the process began."""
    mapped = maps.read_text(encoding="utf-8", errors="replace") if maps.is_file() else ""
    paths = (Path("/" + line.partition("/")[2]) for line in mapped.splitlines() if "/libopenblas" in line)
    # NumPy and SciPy map OpenBLAS too, under other names and with suffixed symbols that cannot serve MLX.
    return next((path for path in paths if path.name.startswith("libopenblas")), None)
