"""Compiles translated kernels, once for each text and kind of build."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

from tests.machine.kernels.emulator.source import CUDA, HEADER, STANDALONE

Build = Literal["plain", "quick", "address", "thread"]
COMPILER = shutil.which("g++")
CACHE = Path(__file__).parents[4] / ".pytest_cache" / "kernels"
_COMMON = ["-std=c++17", "-w", "-g1", "-ffp-contract=off", "-fno-exceptions", "-fno-rtti"]
_FLAGS: dict[Build, list[str]] = {
    "plain": ["-O1", "-fPIC", "-shared"],
    "quick": ["-O0", "-fPIC", "-shared"],  # for kernels by the hundred, which hardly compute
    "address": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DEMU_STANDALONE"],
    "thread": ["-O1", "-fsanitize=thread", "-DEMU_STANDALONE"],
}


def compiled(source: str, build: Build) -> Path:
    """The shared object (`plain`, `quick`) or program (with a sanitizer) of a translation unit, made or cached."""
    assert COMPILER is not None, "the emulator needs g++"
    facts = [source, build, *_COMMON, *_FLAGS[build], HEADER.read_text(), CUDA.read_text(), STANDALONE.read_text()]
    path = CACHE / f"{hashlib.sha256(chr(0).join(facts).encode()).hexdigest()[:24]}.{build}"
    if path.exists():
        return path
    _make(source.replace(str(HEADER), str(_read_header(build))), build, path)
    return path


@cache
def _read_header(build: Build) -> Path:
    """A copy of the header beside which g++ finds what it made of it: a third of what a kernel takes to compile."""
    facts = [build, *_COMMON, *_FLAGS[build], HEADER.read_text()]
    copy = CACHE / f"{hashlib.sha256(chr(0).join(facts).encode()).hexdigest()[:24]}.{build}.h"
    made = copy.with_name(f"{copy.name}.gch")
    if not made.exists():
        _make(HEADER.read_text(), build, copy)
        _make(HEADER.read_text(), build, made)
    return copy


def _make(text: str, build: Build, path: Path) -> None:
    """Write a header's copy, or what g++ makes of a header or a kernel, as `path` is called."""
    CACHE.mkdir(parents=True, exist_ok=True)
    # Made aside and moved: another worker may want the same one.
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        given, made = Path(folder) / "kernel.cpp", Path(folder) / "made"
        given.write_text(text, encoding="utf-8")
        if path.suffix == ".h":
            made = given
        else:
            language = "c++-header" if path.suffix == ".gch" else "c++"
            command = [COMPILER, *_COMMON, *_FLAGS[build], "-x", language, "-o", str(made), str(given)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"g++ does not take this kernel:\n{done.stderr[:4000]}")
        os.replace(made, path)
