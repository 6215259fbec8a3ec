#!/bin/sh
# mlx: a loop that writes a row into an array and reads it back, and is evaluated in the end, copies the whole array at
# each step, and has all copies in memory at once; evaluated step by step it copies nothing.
#
# In place is written only what nobody else holds. A read that is recorded and not yet computed holds the array, though
# it could be computed before the next write; and so does, as long as it is kept, a view of one row.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check "mlx[cpu]==0.32.4"
cat >"$here/try.py" <<'PY'
import importlib.metadata
import sys
from collections.abc import Callable

import mlx.core as mx

ROWS, WIDTH, STEPS = 4096, 1024, 5
SIZE = ROWS * WIDTH * 4  # float32
Held = list[mx.array]


def written(array: mx.array) -> Held:
    for step in range(STEPS):
        array[step] = 1.0
    mx.eval(array)
    return []


def written_and_read_in_turns(array: mx.array) -> Held:
    for step in range(STEPS):
        array[step] = 1.0
        mx.eval(array[step].sum())
    return []


def written_and_read_together(array: mx.array) -> Held:
    sums = []
    for step in range(STEPS):
        array[step] = 1.0
        sums.append(array[step].sum())
    mx.eval(sums)
    return []


def viewed(array: mx.array) -> Held:
    views = []
    for step in range(STEPS):
        views.append(array[:1])
        array[step] = 1.0
        mx.eval(array, views)
    return views


# Whole arrays beside the one that is written: at the peak, and in the end with what is still held.
COPIES: list[tuple[Callable[[mx.array], Held], str, tuple[int, int]]] = [
    (written, "one row written each step, evaluated together", (0, 0)),
    (written_and_read_in_turns, "written, read and evaluated each step", (0, 0)),
    (written_and_read_together, "written and read each step, evaluated together", (STEPS - 1, 0)),
    (viewed, "evaluated each step, with a view of one row kept from before", (STEPS, STEPS)),
]


def copies(steps: Callable[[mx.array], Held]) -> tuple[int, int]:
    array = mx.zeros((ROWS, WIDTH))
    mx.eval(array)
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    held = steps(array)
    mx.eval(array, held)
    mx.synchronize()
    peak, now = max(0, mx.get_peak_memory() - before), mx.get_active_memory() - before
    expected = mx.zeros((ROWS, WIDTH)) + (mx.arange(ROWS) < STEPS)[:, None]
    if not mx.array_equal(array, expected).item():
        sys.exit("Not as stated: the numbers themselves are not what was written.")
    return round(peak / SIZE), round(now / SIZE)


mx.set_default_device(mx.cpu)
print({"mlx": importlib.metadata.version("mlx")})
print(f"Stated: {STEPS} steps, each a write of one row of {ROWS}; whole copies in memory at the peak and in the end:")
for _, what, stated in COPIES:
    print(f"  {what}: {stated[0]} and {stated[1]}")
print("Seen:")
for steps, what, stated in COPIES:
    seen = copies(steps)
    print(f"  {what}: {seen[0]} and {seen[1]}, of {SIZE >> 20} MiB each")
    if seen != stated:
        sys.exit(f"Not as stated: {what}.")
PY
"$here/venv/bin/python" "$here/try.py"
