"""From a kernel's call to the text MLX generates for it, and from that text to C++ that g++ takes."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

HEADER = Path(__file__).with_name("metal.h")
CUDA = Path(__file__).with_name("cuda.h")
STANDALONE = Path(__file__).with_name("standalone.h")
_ARRAY = re.compile(r"^(\s*)threadgroup\s+(\w+)\s+(\w+)\s*\[([^\]]*)\];", re.MULTILINE)
_DTYPES = {"char": np.int8, "uint8_t": np.uint8, "int": np.int32, "int64_t": np.int64, "uint32_t": np.uint32}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the generated signature: its C++ type without address space, and its buffer's number."""

    kind: str
    name: str
    buffer: int | None


@dataclass(frozen=True, slots=True)
class Traced:
    """One call: the text a Mac would compile, and how it would be launched."""

    name: str
    text: str
    grid: tuple[int, int, int]
    threadgroup: tuple[int, int, int]
    parameters: tuple[Parameter, ...]
    template: str

    @property
    def attributes(self) -> list[str]:
        return [parameter.name for parameter in self.parameters if parameter.buffer is None]


def trace(call: Callable[..., Sequence[mx.array]], inputs: Sequence[mx.array]) -> Traced:
    """What `call(*inputs)`, which launches one custom kernel, hands to Metal. Nothing is computed."""
    found: list[dict[str, Any]] = []

    def keep(node: dict[str, Any]) -> None:
        if node["type"] == "primitive" and node["name"] == "CustomKernel":
            found.append(node)

    mx.export_function(keep, lambda *arrays: call(*arrays), *inputs)
    assert len(found) == 1, f"expected one custom kernel, found {len(found)}"
    name, text, *sizes = found[0]["arguments"][:8]
    match = re.search(rf"\[\[kernel\]\] void {name}\(\n(.*?)\) \{{\n", text, re.DOTALL)
    assert match is not None, text
    template = re.search(rf"decltype\({name}<(.*?)>\)", text)
    return Traced(
        name=name,
        text=text,
        grid=tuple(sizes[:3]),
        threadgroup=tuple(sizes[3:]),
        parameters=tuple(_parameter(line) for line in match[1].split(",\n")),
        template=template[1] if template else "",
    )


def _parameter(line: str) -> Parameter:
    match = re.fullmatch(r"\s*(.*?)\s*(\w+) \[\[(?:buffer\((\d+)\)|\w+)\]\]", line)
    assert match is not None, line
    return Parameter(match[1], match[2], None if match[3] is None else int(match[3]))


def translate(traced: Traced, counted: Sequence[str] = ()) -> str:
    """A translation unit with `emu_run`. Reads through the `counted` inputs are counted, byte by byte."""
    return _unit([_kernel(traced, counted)], [_call(traced, counted)])


def translate_together(every: Sequence[Traced]) -> str:
    """One unit of many calls, of which `emu_choose` chooses by number: most of what each takes to compile is what all
    have in common."""
    texts = list(dict.fromkeys(_kernel(traced) for traced in every))
    spaces = [f"namespace of_{number} {{\n{text}\n}}" for number, text in enumerate(texts)]
    calls = [f"of_{texts.index(_kernel(traced))}::{_call(traced)}" for traced in every]
    return _unit(spaces, calls)


def _kernel(traced: Traced, counted: Sequence[str] = ()) -> str:
    text = re.sub(r"^template \[\[host_name.*$", "", traced.text, flags=re.MULTILINE)
    text = plain_arrays(text)
    for name in counted:
        text, changed = re.subn(rf"const device (\w+)\* {name}\b", rf"emu::Counted<const \1> {name}", text)
        assert changed == 1, f"{name} is not a device input of {traced.name}"
    # Neither is of any meaning here, and without them kernels for few and for many rows are one text to compile.
    return re.sub(r"\b(device|constant) ", "", text.replace(traced.name, "emulated"))


def _call(traced: Traced, counted: Sequence[str] = ()) -> str:
    called = f"emulated<{traced.template}>" if traced.template else "emulated"
    arguments = ", ".join(_argument(parameter, parameter.name in counted) for parameter in traced.parameters)
    return f"{called}({arguments})"


def _unit(texts: Sequence[str], calls: Sequence[str]) -> str:
    cases = "\n".join(f"    case {number}: {call}; break;" for number, call in enumerate(calls))
    kernels = "\n".join(texts)
    return f"""#include "{HEADER}"
#include "{CUDA}"
{kernels}
static uint emu_chosen = 0;
static void emu_body(void** buffers, const emu::Thread& at) {{
  (void)at;
  switch (emu_chosen) {{
{cases}
  }}
}}
extern "C" void emu_choose(uint number) {{ emu_chosen = number; }}
extern "C" int emu_run(void** buffers, const uint* grid, const uint* group, int order, char* error, size_t size) {{
  emu::Job job{{emu_body, buffers, {{grid[0], grid[1], grid[2]}}, {{group[0], group[1], group[2]}}, order,
               error, size}};
  emu::bytes_read = 0;
  return emu::run(job);
}}
extern "C" uint64_t emu_bytes_read() {{ return emu::bytes_read; }}
#ifdef EMU_STANDALONE
#include "{STANDALONE}"
#endif
"""


def plain_arrays(text: str) -> str:
    """Arrays in threadgroup memory as static ones, which are poisoned when the first thread comes to them."""
    text = _ARRAY.sub(
        r"\1static \2 \3[\4]; static emu::Shared shared_\3; emu::poison(shared_\3, \3, sizeof(\3));", text
    )
    return re.sub(r"\bthreadgroup\b(?!_)", "", text)


def _argument(parameter: Parameter, counted: bool) -> str:
    if parameter.buffer is None:
        return f"at.{parameter.name}" if parameter.kind.startswith("uint3") else f"uint(at.{parameter.name})"
    kind = re.sub(r"\b(device|constant)\b", "", parameter.kind)
    if kind.rstrip().endswith("&"):
        return f"*({kind.replace('&', '*')})buffers[{parameter.buffer}]"
    pointer = f"({kind})buffers[{parameter.buffer}]"
    return f"{{{pointer}}}" if counted else pointer
