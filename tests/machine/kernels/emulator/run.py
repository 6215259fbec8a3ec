"""Runs compiled kernels over arrays: in this process, or under a sanitizer in a program of its own."""

import ctypes
import os
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from tests.machine.kernels.emulator.build import Build, compiled
from tests.machine.kernels.emulator.source import Traced, translate, translate_together

FORWARD, REVERSE = 0, 1
_PAD, _CANARY, _POISON = 256, 0x5C, 0x7F
_ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
    "TSAN_OPTIONS": "halt_on_error=1:report_bugs=1:exitcode=66",
}


_TOGETHER: dict[Traced, tuple[Path, int]] = {}
"""What was compiled with others: where, and by which number."""


class KernelError(AssertionError):
    """The emulator or a sanitizer found something; the message is its own."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run wrote, as raw bytes by buffer number, and the bytes that it read through counted inputs."""

    buffers: list[bytes]
    bytes_read: int


def run(traced: Traced, buffers: Sequence[bytes], *, order: int, build: Build, counted: Sequence[str] = ()) -> Ran:
    """Run one launch over `buffers`, of which outputs hold what they held before. Raises KernelError."""
    if build == "plain" and not counted and _kernel(traced) in _TOGETHER:
        path, number = _TOGETHER[_kernel(traced)]
        return _inside(path, traced, buffers, order, number)
    path = _compiled(traced, tuple(counted), build)
    return _inside(path, traced, buffers, order) if build == "plain" else _outside(path, traced, buffers, order)


def compile_together(every: Sequence[Traced]) -> None:
    """Compile what many launches will run, at once."""
    new = [traced for traced in dict.fromkeys(map(_kernel, every)) if traced not in _TOGETHER]
    if new:
        path = compiled(translate_together(new), "quick")
        _TOGETHER.update({traced: (path, number) for number, traced in enumerate(new)})


def _kernel(traced: Traced) -> Traced:
    """What is compiled for a launch, which may be of any size."""
    return replace(traced, grid=(0, 0, 0), threadgroup=(0, 0, 0))


@lru_cache(maxsize=1024)
def _compiled(traced: Traced, counted: tuple[str, ...], build: Build) -> Path:
    return compiled(translate(traced, counted), build)


def poison(size: int) -> bytes:
    """What an output holds that nobody has written: large, finite numbers."""
    return bytes([_POISON]) * size


@lru_cache(maxsize=256)
def _library(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.emu_bytes_read.restype = ctypes.c_uint64
    return library


def _inside(path: Path, traced: Traced, buffers: Sequence[bytes], order: int, number: int = 0) -> Ran:
    found = launched(path, traced.name, traced.grid, traced.threadgroup, buffers, order, number)
    return Ran(found, _library(path).emu_bytes_read())


def launched(
    path: Path,
    name: str,
    grid: tuple[int, int, int],
    group: tuple[int, int, int],
    buffers: Sequence[bytes],
    order: int,
    number: int = 0,
) -> list[bytes]:
    """Run a shared object's kernel of that `number` over `buffers` in this process; what they hold then. Raises
    KernelError."""
    library = _library(path)
    if hasattr(library, "emu_choose"):  # not where a kernel is MLX's own
        library.emu_choose(ctypes.c_uint(number))
    padded = [np.full(len(data) + 2 * _PAD, _CANARY, dtype=np.uint8) for data in buffers]
    for array, data in zip(padded, buffers, strict=True):
        array[_PAD : _PAD + len(data)] = np.frombuffer(data, dtype=np.uint8)
    pointers = (ctypes.c_void_p * len(buffers))(*(array.ctypes.data + _PAD for array in padded))
    sizes = (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*group)
    error = ctypes.create_string_buffer(256)
    if library.emu_run(pointers, *sizes, order, error, ctypes.c_size_t(len(error))):
        raise KernelError(error.value.decode())
    for number, array in enumerate(padded):
        if (array[:_PAD] != _CANARY).any() or (array[-_PAD:] != _CANARY).any():
            raise KernelError(f"{name} wrote outside buffer {number}")
    return [array[_PAD:-_PAD].tobytes() for array in padded]


def _outside(path: Path, traced: Traced, buffers: Sequence[bytes], order: int) -> Ran:
    with tempfile.TemporaryDirectory() as folder:
        given, written = Path(folder) / "given", Path(folder) / "written"
        with given.open("wb") as file:
            file.write(struct.pack("8I", *traced.grid, *traced.threadgroup, order, len(buffers)))
            for data in buffers:
                file.write(struct.pack("Q", len(data)) + data)
        environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"} | _ENVIRONMENT
        command = [str(path), str(given), str(written)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=200)
        if done.returncode:
            raise KernelError(done.stderr[:4000] or f"exit code {done.returncode}")
        data = written.read_bytes()
    found, at = [], 0
    for given_data in buffers:
        found.append(data[at : at + len(given_data)])
        at += len(given_data)
    return Ran(found, 0)
