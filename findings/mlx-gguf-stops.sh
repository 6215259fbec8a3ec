#!/bin/sh
# mlx: mx.load of a GGUF stops without a word at the first tensor of a type it does not know; all behind it are missing.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check "mlx[cpu]==0.32.4" gguf==0.19.0 numpy==2.4.6
cat >"$here/try.py" <<'PY'
import importlib.metadata
import sys

import mlx.core as mx
import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quants

NAMES = ["before", "between", "behind"]
MISSING = {"F32": [], "Q8_0": [], "MXFP4": ["behind", "between"], "TQ1_0": ["behind", "between"]}

print({name: importlib.metadata.version(name) for name in ("mlx", "gguf")})
print(f"Stated: no error; what mx.load leaves out, by the type of the tensor between: {MISSING}")
print("Seen:")
rows = np.random.default_rng(0).normal(size=(4, 256)).astype(np.float32)
for kind, missing in MISSING.items():
    path, number = f"{sys.argv[1]}/{kind}.gguf", GGMLQuantizationType[kind]
    writer = GGUFWriter(path, "llama")
    writer.add_tensor("before", rows)
    writer.add_tensor("between", quants.quantize(rows, number), raw_dtype=number)
    writer.add_tensor("behind", rows)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    read = {tensor.name: quants.dequantize(tensor.data, tensor.tensor_type) for tensor in GGUFReader(path).tensors}
    if list(read) != NAMES or any(one.shape != rows.shape for one in read.values()):
        sys.exit(f"Not as stated: gguf itself does not read the three tensors of {path}.")
    left_out = sorted(set(NAMES) - set(mx.load(path)))
    print(f"  {kind}: gguf reads {', '.join(read)}; mx.load leaves out {', '.join(left_out) or 'nothing'}")
    if left_out != missing:
        sys.exit(f"Not as stated: with {kind} between, mx.load leaves out {left_out}.")
PY
"$here/venv/bin/python" "$here/try.py" "$here"
