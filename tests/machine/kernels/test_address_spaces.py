"""Pointers keep their address space: what g++ cannot see, libclang does, in the text that a Mac would compile.

MLX declares inputs of fewer than eight elements `constant`, larger ones `device`, so each kernel is looked at with a
small and a large gamma.
"""

import re
from dataclasses import replace

import clang.cindex
import pytest

from tests.machine.kernels.emulator.launches import Emulator, emulated
from tests.machine.kernels.emulator.source import Traced
from tests.machine.kernels.launched import EVERY

# Address spaces as numbers of their own, and just enough of Metal for every expression to have a type.
PRELUDE = """
#define device __attribute__((address_space(1)))
#define constant __attribute__((address_space(2)))
#define threadgroup __attribute__((address_space(3)))
#define INFINITY __builtin_inff()
typedef unsigned int uint; typedef unsigned long size_t; typedef unsigned int uint32_t;
typedef int int32_t; typedef unsigned short ushort; typedef unsigned char uint8_t;
typedef __fp16 half; typedef __fp16 float16_t;
struct bfloat16_t { unsigned short bits; bfloat16_t(float); operator float() const; };
struct uint2 { uint x, y; }; struct uint3 { uint x, y, z; };
enum class mem_flags { mem_none, mem_device, mem_threadgroup };
void threadgroup_barrier(mem_flags);
float simd_sum(float); float simd_max(float); float simd_min(float); uint simd_min(uint);
float exp(float); float log(float); float log1p(float); float tanh(float); float fma(float, float, float);
float max(float, float); float min(float, float); uint max(uint, uint); uint min(uint, uint);
int max(int, int); int min(int, int);
template <typename To, typename From> To as_type(From);
"""


def plain_text(traced: Traced) -> str:
    """What MLX generated, as C++ that clang reads."""
    text = re.sub(r"^template \[\[host_name.*$", "", traced.text, flags=re.MULTILINE)
    # Locals of a kernel may lie in threadgroup memory in Metal alone: here they are parameters' pointees.
    text = re.sub(r"^(\s*)threadgroup (\w+) (\w+)\[([^\]]*)\];", r"\1threadgroup \2* \3 = nullptr;", text, flags=re.M)
    return PRELUDE + re.sub(r"\[\[(buffer\(\d+\)|kernel|\w+_in_\w+|\w+_per_\w+|thread_index_in_\w+)\]\]", "", text)


def complaints(traced: Traced) -> list[str]:
    """What clang says of the instantiated kernel."""
    text = plain_text(traced) + f"auto* used = &{traced.name}<{traced.template}>;\n"
    index = clang.cindex.Index.create()
    parsed = index.parse("kernel.cpp", args=["-std=c++17", "-nostdinc"], unsaved_files=[("kernel.cpp", text)])
    return [str(found) for found in parsed.diagnostics if found.severity >= clang.cindex.Diagnostic.Error]


def texts(emulator: Emulator, what: str, gamma: int) -> list[Traced]:
    emulator.runs = False
    with emulated(emulator):
        EVERY[what](gamma)
    return emulator.traced


@pytest.mark.parametrize("gamma", [2, 12])
@pytest.mark.parametrize("what", EVERY)
def test_no_pointer_changes_its_address_space(emulator: Emulator, what: str, gamma: int) -> None:
    found = texts(emulator, what, gamma)
    assert found
    for traced in found:
        assert complaints(traced) == []


def test_small_inputs_are_constant_and_large_ones_device(emulator: Emulator) -> None:
    small, large = (texts(Emulator(), "coupled", gamma)[-1] for gamma in (2, 12))
    assert "const constant int32_t* draft_ids" in small.text
    assert "const device int32_t* draft_ids" in large.text


def test_a_pointer_of_the_wrong_space_is_found(emulator: Emulator) -> None:
    traced = texts(emulator, "coupled", 2)[0]
    wrong = replace(traced, text=traced.text.replace("auto row_logits =", "constant float* row_logits ="))
    assert wrong.text != traced.text
    assert "cannot initialize a variable of type 'constant float *'" in complaints(wrong)[0]
