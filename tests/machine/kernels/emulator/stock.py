"""MLX's own kernels in the emulator: the text of the Metal headers that its wheel carries, launched as MLX launches it.

The text is read where it is installed, and is in no file of this project.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np

from tests.machine.kernels.emulator.build import compiled
from tests.machine.kernels.emulator.run import FORWARD, launched
from tests.machine.kernels.emulator.source import HEADER, plain_arrays

FOLDER = Path(mx.__file__).parent / "include" / "mlx" / "backend" / "metal" / "kernels"
_PRELUDE = """
#include <cfloat>
namespace fast { inline float exp(float x) { return std::exp(x); } inline float log(float x) { return std::log(x); } }
namespace metal { using ::fast::exp; }
#define METAL_FUNC inline
#define SOFTMAX_N_READS 4
using std::isinf;
constexpr int SIMD_SIZE = 32;
template <typename T> struct Limits;
template <> struct Limits<float> {
  static constexpr float min = -INFINITY, max = INFINITY, finite_min = -FLT_MAX, finite_max = FLT_MAX;
};
inline int ceildiv(int number, int by) { return (number + by - 1) / by; }
template <typename T> inline T select(T no, T yes, bool which) { return which ? yes : no; }
template <int BY> void emu_down(uint64_t* slots, uint lanes) {
  for (uint i = 0; i + BY < lanes; i++) slots[i] = slots[i + BY];
}
template <typename T> T simd_shuffle_down(T value, int by, uint line = __builtin_LINE()) {
  auto how = by == 16 ? emu_down<16> : by == 8 ? emu_down<8> : by == 4 ? emu_down<4> : by == 2 ? emu_down<2>
                                                                                            : emu_down<1>;
  return emu::unpack<T>(emu::gather(emu::Wait::simd, line, emu::pack(value), how));
}
"""


@dataclass(frozen=True, slots=True)
class StockKernel:
    """A kernel of MLX's: the `text` of a header, and how it is `called` in C++, of `buffers[i]` and a thread, `at`."""

    name: str
    text: str
    called: str

    def launch(
        self, buffers: Sequence[np.ndarray], grid: tuple[int, int, int], group: tuple[int, int, int]
    ) -> list[np.ndarray]:
        """Run so many threads over the buffers; what these hold then."""
        path = compiled(self._source(), "plain")
        given = [array.tobytes() for array in buffers]
        ran = launched(path, self.name, grid, group, given, FORWARD)
        return [
            np.frombuffer(data, dtype=array.dtype).reshape(array.shape)
            for data, array in zip(ran, buffers, strict=True)
        ]

    def _source(self) -> str:
        text = re.sub(r"^#.*(include|pragma once|pragma METAL).*$", "", self.text, flags=re.MULTILINE)
        # What MLX sets when it makes a pipeline of the text is set when it is called, here.
        text = re.sub(r"^constant (bool|int) (\w+) \[\[.*?\]\];", r"static \1 \2;", text, flags=re.MULTILINE)
        text = plain_arrays(re.sub(r"\[\[[^\]]*\]\]", "", text))
        text = re.sub(
            r"\bconstant\b", "const", text.replace("const constant", "const").replace("constant const", "const")
        )
        return f"""#include "{HEADER}"
{_PRELUDE}
{text}
static void emu_body(void** buffers, const emu::Thread& at) {{ (void)at; {self.called} }}
extern "C" int emu_run(void** buffers, const uint* grid, const uint* group, int order, char* error, size_t size) {{
  emu::Job job{{emu_body, buffers, {{grid[0], grid[1], grid[2]}}, {{group[0], group[1], group[2]}}, order,
               error, size}};
  return emu::run(job);
}}
extern "C" uint64_t emu_bytes_read() {{ return 0; }}
"""


def header(name: str) -> str:
    """The text of one of MLX's headers."""
    return (FOLDER / name).read_text(encoding="utf-8")


def functions(text: str, *names: str) -> str:
    """Of a header these function templates alone, in this order: the rest may want more of Metal than there is here."""
    return "\n".join(_function(text, name) for name in names)


def _function(text: str, name: str) -> str:
    named = re.search(rf"\b{name}\(", text)
    assert named is not None, f"no {name}"
    begin, at = text.rindex("template <", 0, named.start()), text.index("{", named.start())
    depth = 1
    while depth:
        at += 1
        depth += (text[at] == "{") - (text[at] == "}")
    return text[begin : at + 1]
