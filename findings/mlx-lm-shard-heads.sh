#!/bin/sh
# mlx-lm: a llama whose heads the number of machines does not divide is split without a word, and says something else.
#
# `shard()` divides the numbers of heads by `//`, and cuts the projections by their columns: of three heads of 32, two
# ranks get one head of 48 each. Every shape still fits, so nothing raises; the attention is another model's.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
"${PYTHON:-python3}" -m venv "$here/venv"
case "$(uname -s)" in Darwin) mlx=mlx ;; *) mlx='mlx[cpu]' ;; esac
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check "$mlx==0.32.4" mlx-lm==0.32.2
cat >"$here/rank.py" <<'PY'
import mlx.core as mx
from mlx_lm.models.llama import Model, ModelArgs


def made(heads):
    args = ModelArgs(
        model_type="llama",
        hidden_size=32 * heads,
        num_hidden_layers=2,
        intermediate_size=64 * heads,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=32,
        rms_norm_eps=1e-5,
        vocab_size=50,
    )
    mx.random.seed(0)  # the same weights on both ranks, and each time
    model = Model(args)
    mx.eval(model.parameters())
    return model


group = mx.distributed.init(strict=True, backend="ring")
tokens = mx.array([[3, 1, 4, 1, 5, 9, 2, 6]])
found = []
for heads in (4, 3):
    whole, parts = made(heads), made(heads)
    parts.shard(group)
    expected, given = whole(tokens), parts(tokens)
    mx.eval(expected, given)
    found.append((mx.max(mx.abs(given - expected)) / mx.max(mx.abs(expected))).item())
if group.rank() == 0:
    print(*found, flush=True)
PY
cat >"$here/try.py" <<'PY'
import importlib.metadata
import json
import os
import pathlib
import socket
import subprocess
import sys

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
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for rank in range(2)
]
told = running[0].communicate(timeout=120)[0].split()
codes = [one.wait(timeout=120) for one in running]
print({name: importlib.metadata.version(name) for name in ("mlx", "mlx-lm")})
print("Stated: over two ranks four heads give the logits of one machine, and three give others, without an error.")
four, three = map(float, told)
print(f"Seen: the greatest difference is {four:.1e} of the greatest logit with four heads, {three:.1e} with three;")
print(f"      the ranks ended with {codes}.")
if four > 1e-4 or three < 1e-2 or any(codes):
    sys.exit("Not as stated.")
PY
"$here/venv/bin/python" "$here/try.py"
