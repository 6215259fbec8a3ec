"""Compiles translated kernels, once for each text and kind of build."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

from tests.machine.kernels.emulator.source import HEADER, STANDALONE

Build = Literal["plain", "address", "thread"]
COMPILER = shutil.which("g++")
CACHE = Path(__file__).parents[4] / ".pytest_cache" / "kernels"
_COMMON = ["-std=c++17", "-w", "-g1", "-ffp-contract=off", "-fno-exceptions", "-fno-rtti"]
_FLAGS: dict[Build, list[str]] = {
    "plain": ["-O1", "-fPIC", "-shared"],
    "address": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DEMU_STANDALONE"],
    "thread": ["-O1", "-fsanitize=thread", "-DEMU_STANDALONE"],
}


def compiled(source: str, build: Build) -> Path:
    """The shared object (`plain`) or program (with a sanitizer) of a translation unit, made or from the cache."""
    assert COMPILER is not None, "the emulator needs g++"
    facts = [source, build, *_COMMON, *_FLAGS[build], HEADER.read_text(), STANDALONE.read_text()]
    path = CACHE / f"{hashlib.sha256(chr(0).join(facts).encode()).hexdigest()[:24]}.{build}"
    if path.exists():
        return path
    CACHE.mkdir(parents=True, exist_ok=True)
    # Made aside and moved: another worker may want the same one.
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        text, made = Path(folder) / "kernel.cpp", Path(folder) / "made"
        text.write_text(source, encoding="utf-8")
        command = [COMPILER, *_COMMON, *_FLAGS[build], "-o", str(made), str(text)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"g++ does not take this kernel:\n{done.stderr[:4000]}")
        os.replace(made, path)
    return path
