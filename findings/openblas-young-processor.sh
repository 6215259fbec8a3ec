#!/bin/sh
# OpenBLAS 0.3.21 on an Intel Emerald Rapids: products by kernels of 2004, though those for AVX-512 are in it.
#
# OpenBLAS knows processors by family and model. One that is younger than the release is served as a Prescott (SSE3), and
# nothing says so. It is the release of Debian 12 and of NumPy 1.24's wheels; OPENBLAS_CORETYPE names other kernels.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
"${PYTHON:-python3.11}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check numpy==1.24.4 threadpoolctl==3.5.0
cat >"$here/try.py" <<'PY'
import json
import os
import subprocess
import sys
import time
from pathlib import Path

FAMILY, MODEL, NEEDED = "6", "207", {"avx2", "fma", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
SIZE, ROUNDS = 768, 9


def product() -> None:
    """Tell whose kernels a product is made with, and the least seconds of some."""
    import numpy
    from threadpoolctl import threadpool_info

    a, b = (numpy.random.default_rng(seed).random((SIZE, SIZE), dtype=numpy.float32) for seed in range(2))
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - began)
    (library,) = (one for one in threadpool_info() if one["user_api"] == "blas")
    print(json.dumps([library["version"], library["architecture"], min(seconds)]))


def told(**variables: str) -> list:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    done = subprocess.run([sys.executable, __file__, "product"], env=environment | variables, check=True, capture_output=True)
    return json.loads(done.stdout)


if len(sys.argv) > 1:
    sys.exit(product())
cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
facts = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in cpuinfo.splitlines()}
if (facts.get("cpu family"), facts.get("model")) != (FAMILY, MODEL) or not NEEDED <= set(facts["flags"].split()):
    sys.exit(f"This is about Linux on an Emerald Rapids (family {FAMILY}, model {MODEL}) with AVX-512.")
version, chosen, slow = told()
_, named, quick = told(OPENBLAS_CORETYPE="SkylakeX")
print(f"OpenBLAS {version}, in NumPy 1.24.4")
print("Stated: it takes the kernels of a Prescott, and those of a SkylakeX where it is told to.")
print(f"Seen:   {chosen}, and {named}; a product of {SIZE} x {SIZE} float32 takes {slow / quick:.1f} times as long")
if (chosen, named) != ("Prescott", "SkylakeX"):
    sys.exit("That is no longer so.")
PY
"$here/venv/bin/python" "$here/try.py"
