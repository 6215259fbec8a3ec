"""A Metal kernel by name: its body and headers are files in `metal/`, MLX writes the signature around them. Without
Metal it is made for CUDA; see `cuda`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import mlx.core as mx

from mlx_spec.machine.kernels.cuda import text

FOLDER: Final = Path(__file__).with_name("metal")
_SIMD_WIDTH: Final = 32
_MOST_THREADS: Final = 1024

_LEAST: Final = 8
"""MLX declares arrays of fewer entries in another address space, and compiles another kernel for them."""

Template = int | bool | mx.Dtype
Output = tuple[tuple[int, ...], mx.Dtype]


@dataclass(frozen=True, slots=True)
class MetalKernel:
    """`metal/NAME.metal`, with `metal/HEADER.metal` before it; calling it launches it, lazily.

    `inputs` and `outputs` are the names that the body uses.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    headers: tuple[str, ...] = ()

    def __call__(
        self,
        arrays: Sequence[mx.array],
        *,
        template: dict[str, Template],
        groups: tuple[int, int],
        threads: int,
        outputs: Sequence[Output],
    ) -> list[mx.array]:
        """Launch `groups` threadgroups of `threads` threads each.

        `outputs` are shapes and types; what the kernel does not write of them is not defined.
        """
        return cast(
            list[mx.array],
            _built(self)(
                inputs=list(arrays),
                template=list(template.items()),
                grid=(groups[0] * threads, groups[1], 1),
                threadgroup=(threads, 1, 1),
                output_shapes=[shape for shape, _ in outputs],
                output_dtypes=[dtype for _, dtype in outputs],
            ),
        )

    def body(self) -> str:
        """The text of the body."""
        return _text(self.name)

    def header(self) -> str:
        """The text of the headers, in order."""
        return "\n".join(_text(name) for name in self.headers)


def threads_for(work: int, most: int = 256) -> int:
    """Threads of a threadgroup with so much to do: whole simdgroups, at most `most`."""
    whole = -(-work // _SIMD_WIDTH) * _SIMD_WIDTH
    return max(_SIMD_WIDTH, min(whole, most, _MOST_THREADS))


def long_enough(array: mx.array, axis: int = 0) -> mx.array:
    """With entries behind it that say nothing, where it is too short to be declared as a longer one is."""
    short = _LEAST - array.shape[axis] if array.size < _LEAST else 0
    return array if not short else mx.pad(array, [(0, short if axis == at else 0) for at in range(array.ndim)])


def _text(name: str) -> str:
    return (FOLDER / f"{name}.metal").read_text(encoding="utf-8")


@cache
def _built(kernel: MetalKernel) -> Any:
    names = kernel.name, list(kernel.inputs), list(kernel.outputs)
    if mx.cuda.is_available():
        return mx.fast.cuda_kernel(*names, text.body(kernel.body()), text.header(kernel.header()))
    return mx.fast.metal_kernel(*names, kernel.body(), kernel.header())
