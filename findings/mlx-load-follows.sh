#!/bin/sh
# mlx: arrays that mx.load took from a path become what the file holds when they are first used; saved anew at the same
# path in between, what was loaded before has the new numbers. From a file object they are read at once.
#
# Until all of a file's arrays are used its descriptor stays open, too. The description of `mx.load` says nothing of
# either, and takes path and file object for the same.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check "mlx[cpu]==0.32.4"
cat >"$here/try.py" <<'PY'
import importlib.metadata
import os
import sys
import time
from pathlib import Path

import mlx.core as mx

FOLDER, OLD, NEW, FILES, PATIENCE_S = Path(sys.argv[1]), 1.0, 2.0, 20, 10
Loaded = dict[str, mx.array]


def from_path(path: Path) -> Loaded:
    return mx.load(str(path))


def from_path_and_used(path: Path) -> Loaded:
    loaded = mx.load(str(path))
    mx.eval(loaded)
    return loaded


def from_file_object(path: Path) -> Loaded:
    with path.open("rb") as file:
        return mx.load(file, format="safetensors")


# What the arrays hold that were loaded before the file was saved anew, and how many of 20 files stay open.
OUTCOMES = {from_path: (NEW, FILES), from_path_and_used: (OLD, 0), from_file_object: (OLD, 0)}


def save(path: Path, number: float) -> None:
    mx.save_safetensors(str(path), {"first": mx.full((1000,), number), "second": mx.full((1000,), number)})


def num_open() -> int | None:
    """Open descriptors of this process, where Linux tells."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None


def still_open(before: int | None, stated: int) -> int | None:
    """How many more than before; MLX's own thread closes them, a moment after the arrays are there."""
    deadline = time.monotonic() + PATIENCE_S
    while before is not None and num_open() - before != stated and time.monotonic() < deadline:
        time.sleep(0.05)
    return None if before is None else num_open() - before


mx.set_default_device(mx.cpu)
print({"mlx": importlib.metadata.version("mlx")})
before = num_open()
print(f"Stated: a file of {OLD} is loaded, {NEW} is saved at its path: what was loaded, and how many of {FILES} files")
print("        that were loaded are still open:")
for load, stated in OUTCOMES.items():
    print(f"  {load.__name__}: {stated[0]}, {stated[1]}")
print("Seen:")
for load, (number, files) in OUTCOMES.items():
    paths = [FOLDER / f"{load.__name__}-{index}.safetensors" for index in range(FILES)]
    for path in paths:
        save(path, OLD)
    loaded = [load(path) for path in paths]
    num_left = still_open(before, files)
    for path in paths:
        save(path, NEW)
    held = {value for arrays in loaded for array in arrays.values() for value in array.tolist()}
    print(f"  {load.__name__}: {', '.join(map(str, held))}, {'not known here' if num_left is None else num_left}")
    if held != {number} or num_left not in (files, None):
        sys.exit(f"Not as stated: {load.__name__}.")
PY
"$here/venv/bin/python" "$here/try.py" "$here"
