"""The text that MLX makes of a kernel for CUDA, and the same launch in the emulator.

MLX's CPU build makes no such text, so this writes it as `mlx/backend/cuda/custom_kernel.cpp` of 0.32 does: `MLX` stands
for what it includes, then a `__global__` function without templates, whose constants come first.
"""

import re
from dataclasses import replace
from typing import Final

from mlx_spec.machine.kernels.cuda import text
from mlx_spec.machine.kernels.metal import MetalKernel
from tests.machine.kernels.emulator.source import Parameter, Traced

MLX: Final = '#include "mlx/backend/cuda/device/utils.cuh"\n\n#include <cooperative_groups.h>\n'
_TYPES: Final = {"float16_t": "__half", "bfloat16_t": "__nv_bfloat16"}
_NAME: Final = "custom_kernel"


def rewritten(kernel: MetalKernel, traced: Traced) -> Traced:
    """A launch with its text for CUDA in the place of Metal's, for the emulator."""
    source, parameters = _function(kernel, traced)
    called = f"using mlx::core::cu::{_NAME};\n"
    return replace(traced, name=_NAME, text=source + called, parameters=parameters, template="")


def cuda_text(kernel: MetalKernel, traced: Traced) -> str:
    """A launch's text as nvcc is given it."""
    return MLX + _function(kernel, traced)[0]


def _function(kernel: MetalKernel, traced: Traced) -> tuple[str, tuple[Parameter, ...]]:
    body = text.body(kernel.body())
    kinds = {one.name: _cuda(re.sub(r"\b(const|device|constant)\b|[&*]", "", one.kind)) for one in traced.parameters}
    given: list[tuple[str, str]] = []
    for name in kernel.inputs:
        given.append((f"const {kinds[name]}*", name))
        if f"{name}_shape" in body:
            given.append(("const __grid_constant__ Shape", f"{name}_shape"))
    given += [(f"{kinds[name]}*", name) for name in kernel.outputs]
    signature = ",\n".join(f"    {kind} {name}" for kind, name in given)
    source = f"""{text.header(kernel.header())}
namespace mlx::core::cu {{

__global__ void {_NAME}(
{signature}) {{
{_constants(traced)}
{body}
}}

}}  // namespace mlx::core::cu
"""
    parameters = tuple(Parameter(kind, name, number) for number, (kind, name) in enumerate(given))
    return source, parameters


def _constants(traced: Traced) -> str:
    """What Metal has as a template's arguments."""
    names = re.search(r"template <([^>]*)>\n\[\[kernel\]\]", traced.text)
    assert names is not None
    lines = []
    for declared, value in zip(names[1].split(", "), traced.template.split(", "), strict=True):
        kind, name = declared.split()
        lines.append(f"using {name} = {_cuda(value)};" if kind == "typename" else f"constexpr {kind} {name} = {value};")
    return "\n".join(lines)


def _cuda(kind: str) -> str:
    return _TYPES.get(kind.strip(), kind.strip())
