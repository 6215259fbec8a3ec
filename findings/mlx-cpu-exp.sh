#!/bin/sh
# mlx[cpu] on x86-64: an exponential is one number at a time, with a call into libm for each step of its polynomial.
#
# `exp` is written with fused multiply-adds over vectors of one number there, and the wheel is built for processors
# without that instruction: so each step is a call of `fmaf`. Softmax and SiLU take their time in it. The same
# polynomial out of MLX's own operations, fused by `mx.compile`, is done several numbers at a time.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check "mlx[cpu]==0.32.4"
cat >"$here/try.py" <<'PY'
import math
import platform
import sys
import time
from pathlib import Path

import mlx.core as mx

COUNT, ROUNDS, AT_LEAST = 1 << 20, 15, 1.5
if (sys.platform, platform.machine()) != ("linux", "x86_64"):
    sys.exit("This is about Linux on x86-64.")


def parts(x: mx.array) -> tuple[mx.array, mx.array]:
    """Of 2^(n + f): 2^f by its series, and the bits of 2^n. For x of 0 or less."""
    y = x * math.log2(math.e)
    n = (y - 0.5).astype(mx.int32)
    f = y - n.astype(mx.float32)
    power = mx.array(math.log(2.0) ** 6 / math.factorial(6))
    for at in range(5, -1, -1):
        power = power * f + math.log(2.0) ** at / math.factorial(at)
    return power, (n + 127) << 23


fused = mx.compile(parts, shapeless=True)


def exponential(x: mx.array) -> mx.array:
    fraction, bits = fused(x)
    return fraction * bits.view(mx.float32)


x = -10.0 * mx.random.uniform(shape=(COUNT,), key=mx.random.key(0))
mx.eval(x)
furthest = mx.max(mx.abs(exponential(x) / mx.exp(x) - 1.0)).item()
best = {}
for _ in range(ROUNDS):
    for name, made in (("mx.exp", mx.exp), ("operations", exponential)):
        began = time.perf_counter()
        mx.eval(made(x))
        best[name] = min(best.get(name, math.inf), time.perf_counter() - began)
library = (Path(mx.__file__).parent / "lib" / "libmlx.so").read_bytes()
imports, ratio = b"\0fmaf\0" in library, best["mx.exp"] / best["operations"]
print(f"mlx {mx.__version__}")
print(f"Stated: libmlx.so asks libm for fmaf, and mx.exp takes more than {AT_LEAST} times as long as the same polynomial")
print("        out of MLX's own operations, which differs by rounding.")
print(f"Seen:   fmaf is {'' if imports else 'not '}asked for; {best['mx.exp'] / COUNT * 1e9:.1f} ns an exponential against")
print(f"        {best['operations'] / COUNT * 1e9:.1f} ({ratio:.1f} times as long), relative difference {furthest:.1e} at most.")
if not imports or ratio < AT_LEAST or not furthest < 1e-6:
    sys.exit("Not as stated.")
PY
"$here/venv/bin/python" "$here/try.py"
