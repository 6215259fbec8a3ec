"""Puts the emulator in the place of Metal: kernels' Python functions run as on a Mac, each launch emulated."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.machine.kernels import dispatch
from mlx_spec.machine.kernels.metal import MetalKernel
from tests.machine.kernels.emulator.build import Build
from tests.machine.kernels.emulator.run import FORWARD, Ran, compile_together, poison, run
from tests.machine.kernels.emulator.source import Traced, trace

_REAL = MetalKernel.__call__
_TRACED: dict[str, Traced] = {}
_BYTES = {mx.uint8: 1, mx.bfloat16: 2, mx.float16: 2, mx.float32: 4, mx.int32: 4, mx.uint32: 4}


@dataclass(slots=True)
class Emulator:
    """How launches run, and what they did: `launched` names them in order, `bytes_read` sums up over counted inputs.

    `rewrite` may change a kernel's text before it is compiled, as a mutation test does. Without `runs` launches are
    traced alone: outputs are what nobody wrote.
    """

    order: int = FORWARD
    build: Build = "plain"
    counted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rewrite: Any = None
    runs: bool = True
    launched: list[str] = field(default_factory=list)
    traced: list[Traced] = field(default_factory=list)
    bytes_read: int = 0

    def launch(self, kernel: MetalKernel, arrays: Sequence[mx.array], how: dict[str, Any]) -> list[mx.array]:
        """Trace one launch, run it, and give its outputs."""
        traced = _traced(kernel, arrays, how)
        shapes = how["outputs"]
        if self.rewrite is not None:
            traced = self.rewrite(kernel, traced)
        buffers = _buffers(kernel, traced, arrays, shapes)
        counted = self.counted.get(kernel.name, ())
        ran = Ran(buffers, 0)
        if self.runs:
            ran = run(traced, buffers, order=self.order, build=self.build, counted=counted)
        self.launched.append(kernel.name)
        self.traced.append(traced)
        self.bytes_read += ran.bytes_read
        numbers = {parameter.name: parameter.buffer for parameter in traced.parameters}
        return [
            _array(ran.buffers[_number(numbers, name)], shape, dtype)
            for name, (shape, dtype) in zip(kernel.outputs, shapes, strict=True)
        ]


@contextmanager
def emulated(emulator: Emulator) -> Iterator[Emulator]:
    """Within, dispatch chooses Metal, and every launch goes to the emulator."""

    def launch(kernel: MetalKernel, arrays: Sequence[mx.array], **how: Any) -> list[mx.array]:
        return emulator.launch(kernel, arrays, how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MetalKernel, "__call__", launch)
        patch.setattr(dispatch, "choice", lambda: dispatch.Choice(True, "emulated."))
        yield emulator


def compile_ahead(launches: Callable[[], object], rewrite: Any = None) -> None:
    """Compile at once all that `launches` will launch."""
    tracing = Emulator(runs=False, rewrite=rewrite)
    with emulated(tracing):
        launches()
    compile_together(tracing.traced)


def _traced(kernel: MetalKernel, arrays: Sequence[mx.array], how: dict[str, Any]) -> Traced:
    """The text depends on shapes, types and the template only, so thousands of like launches are traced once."""
    key = repr((kernel, how, [(array.shape, array.dtype) for array in arrays]))
    if key not in _TRACED:
        _TRACED[key] = trace(lambda *inputs: _REAL(kernel, inputs, **how), arrays)
    return _TRACED[key]


def _number(numbers: dict[str, int | None], name: str) -> int:
    number = numbers[name]
    assert number is not None
    return number


def _buffers(
    kernel: MetalKernel, traced: Traced, arrays: Sequence[mx.array], outputs: Sequence[tuple[tuple[int, ...], mx.Dtype]]
) -> list[bytes]:
    given = dict(zip(kernel.inputs, arrays, strict=True))
    written = dict(zip(kernel.outputs, outputs, strict=True))
    found = []
    for parameter in traced.parameters:
        name, _, what = parameter.name.rpartition("_")
        if parameter.buffer is None:
            continue
        if parameter.name in given:
            found.append(_bytes(given[parameter.name]))
        elif parameter.name in written:
            shape, dtype = written[parameter.name]
            found.append(poison(int(np.prod(shape)) * _BYTES[dtype]))
        else:
            assert what == "shape", f"{parameter.name}: the emulator knows shapes, no strides"
            found.append(np.array(given[name].shape, dtype=np.int32).tobytes())
    return found


def _bytes(array: mx.array) -> bytes:
    if array.dtype == mx.bfloat16:
        array = array.view(mx.uint16)
    return np.array(array).tobytes()


def _array(data: bytes, shape: tuple[int, ...], dtype: mx.Dtype) -> mx.array:
    names = {mx.bfloat16: np.uint16, mx.float16: np.float16, mx.int32: np.int32, mx.uint32: np.uint32}
    array = mx.array(np.frombuffer(data, dtype=names.get(dtype, np.float32)).reshape(shape))
    return array.view(mx.bfloat16) if dtype == mx.bfloat16 else array
