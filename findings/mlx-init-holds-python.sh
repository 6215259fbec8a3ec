#!/bin/sh
# mlx: over the ring backend, `mx.distributed.init` holds Python's interpreter lock while it waits for the other ranks.
#
# So no other thread of the process runs until all are there: no sign of life is sent, no signal handler is called, no
# time limit of one's own can look. Computing is different: `mx.eval` lets other threads run.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
"${PYTHON:-python3}" -m venv "$here/venv"
case "$(uname -s)" in Darwin) mlx=mlx ;; *) mlx='mlx[cpu]' ;; esac
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check "$mlx==0.32.4"
cat >"$here/rank.py" <<'PY'
import os
import sys
import threading
import time

import mlx.core as mx

print("ready", flush=True)
sys.stdin.readline()  # go
ticks, ended = 0, threading.Event()


def tick():
    global ticks
    while not ended.wait(0.05):
        ticks += 1


threading.Thread(target=tick, daemon=True).start()
time.sleep(0.5)  # the thread runs
before, began = ticks, time.perf_counter()
mx.distributed.init(strict=True, backend="ring")
print(before, ticks - before, round(time.perf_counter() - began, 1), flush=True)
PY
cat >"$here/try.py" <<'PY'
import importlib.metadata
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

LATE_S = 3.0
here = pathlib.Path(__file__).parent
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
hosts = [[f"127.0.0.1:{one.getsockname()[1]}"] for one in sockets]
for one in sockets:
    one.close()
(here / "hosts.json").write_text(json.dumps(hosts))
running = [
    subprocess.Popen(
        [sys.executable, here / "rank.py"],
        env={**os.environ, "MLX_RANK": str(rank), "MLX_HOSTFILE": str(here / "hosts.json")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for rank in range(2)
]
for one in running:
    one.stdout.readline()  # both have imported all
for one in running:
    one.stdin.write("go\n")
    one.stdin.flush()
    time.sleep(LATE_S)
told = [one.communicate(timeout=60)[0].split() for one in running]
before, during, seconds = int(told[0][0]), int(told[0][1]), float(told[0][2])
print({"mlx": importlib.metadata.version("mlx")})
print("Stated: while the first rank waits for the second in `init`, a thread of it that ticks 20 times a second stands still.")
print(f"Seen: {before} ticks in half a second before, {during} in the {seconds} s of `init`.")
if before < 3 or seconds < LATE_S - 1 or during > 3:
    sys.exit("Not as stated.")
PY
"$here/venv/bin/python" "$here/try.py"
