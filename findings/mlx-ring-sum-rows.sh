#!/bin/sh
# mlx: over the ring backend, `all_sum` of three ranks or more gives a row other bits beside other rows than alone.
#
# The ring cuts the whole array into as many parts as there are ranks, and each part begins its way round, and so its
# sum, with another rank. Which part a row falls into depends on the rows beside it. Two ranks add the same two numbers
# whatever the part; `all_gather` followed by additions in the order of the ranks has no such parts.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
"${PYTHON:-python3}" -m venv "$here/venv"
case "$(uname -s)" in Darwin) mlx=mlx ;; *) mlx='mlx[cpu]' ;; esac
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check "$mlx==0.32.4"
cat >"$here/rank.py" <<'PY'
import importlib.metadata

import mlx.core as mx

ROWS, WIDTH = 5, 96
group = mx.distributed.init(strict=True, backend="ring")
part = mx.random.normal((ROWS, WIDTH), key=mx.random.key(group.rank()))


def in_order(array):
    every = mx.distributed.all_gather(array[None], group=group)
    total = every[0]
    for rank in range(1, group.size()):
        total = total + every[rank]
    return total


def rows_that_differ(add):
    whole = add(part)
    mx.eval(whole)
    differing = 0
    for row in range(ROWS):
        alone = add(part[row : row + 1])
        mx.eval(alone)
        differing += not mx.array_equal(whole[row], alone[0]).item()
    return differing


summed = rows_that_differ(lambda array: mx.distributed.all_sum(array, group=group))
gathered = rows_that_differ(in_order)
if group.rank() == 0:
    print(group.size(), summed, gathered, importlib.metadata.version("mlx"), flush=True)
PY
cat >"$here/try.py" <<'PY'
import json
import os
import pathlib
import socket
import subprocess
import sys

here = pathlib.Path(__file__).parent


def ranks(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    hosts = [[f"127.0.0.1:{one.getsockname()[1]}"] for one in sockets]
    for one in sockets:
        one.close()
    (here / "hosts.json").write_text(json.dumps(hosts))
    running = [
        subprocess.Popen(
            [sys.executable, here / "rank.py"],
            env={**os.environ, "MLX_RANK": str(rank), "MLX_HOSTFILE": str(here / "hosts.json")},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for rank in range(count)
    ]
    told = running[0].communicate(timeout=120)[0].split()
    for one in running[1:]:
        one.wait(timeout=120)
    return int(told[1]), int(told[2]), told[3]


print("Stated: with two ranks every row of a sum has the bits that it has alone; with three and four some have not,")
print("        and with `all_gather` and additions in order all have.")
for count in (2, 3, 4):
    summed, gathered, version = ranks(count)
    print(f"Seen: mlx {version}, {count} ranks: {summed} of 5 rows differ by all_sum, {gathered} by all_gather.")
    if gathered or (summed > 0) != (count > 2):
        sys.exit("Not as stated.")
PY
"$here/venv/bin/python" "$here/try.py"
