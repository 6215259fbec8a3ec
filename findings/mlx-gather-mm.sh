#!/bin/sh
# mlx on the CPU: gather_mm takes float32 only, so mlx-lm's mixture-of-experts models raise in half precision.
#
# Its description names no types, and says that it does what `take` and `matmul` do; those take all three. Each model
# loads, and raises with the first answer. In 4 bits it is another operation, which takes half precision too.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
export HF_HUB_OFFLINE=1 HF_HOME="$here/hf"
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check \
    "mlx[cpu]==0.32.4" mlx-lm==0.32.2 transformers==5.23.0 huggingface-hub==2.4.0
cat >"$here/try.py" <<'PY'
import importlib
import importlib.metadata
import sys
from collections.abc import Callable
from functools import partial

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.generate import generate_step

LENGTH = 8
RAISES = {"take and matmul": False, "gather_mm": True, "llama": False, "mixtral": True, "qwen3_moe": True}
SIZES = dict(
    vocab_size=128, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-5, rope_theta=10000.0, max_position_embeddings=512,
    tie_word_embeddings=False,
)
SHAPES = {
    "llama": SIZES,
    "mixtral": dict(**SIZES, num_local_experts=4, num_experts_per_tok=2),
    "qwen3_moe": dict(
        **SIZES, num_experts=4, num_experts_per_tok=2, decoder_sparse_step=1, mlp_only_layers=[],
        moe_intermediate_size=64, norm_topk_prob=True,
    ),
}


def product(kind: str, dtype: mx.Dtype) -> None:
    x, experts, chosen = mx.ones((4, 1, 8), dtype), mx.ones((3, 8, 16), dtype), mx.array([0, 1, 2, 1])
    result = mx.gather_mm(x, experts, rhs_indices=chosen) if kind == "gather_mm" else x @ mx.take(experts, chosen, 0)
    if result.tolist() != [[[8.0] * 16]] * 4:
        sys.exit(f"Not as stated: {kind} in {dtype} gives other numbers.")


def answer(kind: str, dtype: mx.Dtype, bits: int | None = None) -> None:
    module = importlib.import_module(f"mlx_lm.models.{kind}")
    model = module.Model(module.ModelArgs.from_dict({"model_type": kind, **SHAPES[kind]}))
    model.set_dtype(dtype)
    if bits is not None:
        nn.quantize(model, bits=bits)
    mx.eval(model.parameters())
    for _ in generate_step(mx.array([5, 6, 7, 8]), model, max_tokens=LENGTH):
        pass


def check(name: str, run: Callable[[], None], raises: bool) -> None:
    raised = None
    try:
        run()
    except RuntimeError as error:
        raised = error
    print(f"  {name}: {'computed' if raised is None else f'RuntimeError: {raised}'}")
    if (raised is not None) != raises or (raised is not None and "float32" not in str(raised)):
        sys.exit(f"Not as stated: {name}.")


mx.set_default_device(mx.cpu)
print({name: importlib.metadata.version(name) for name in ("mlx", "mlx-lm")})
print("Stated: in float32, and in half precision with weights in 4 bits, all compute; with weights in half precision")
print(f"        RuntimeError is raised by {', '.join(kind for kind, raises in RAISES.items() if raises)} alone.")
print("Seen:")
for kind, raises in RAISES.items():
    run = answer if kind in SHAPES else product
    for dtype in (mx.float32, mx.float16, mx.bfloat16):
        check(f"{kind}, {dtype}", partial(run, kind, dtype), raises and dtype != mx.float32)
    if kind in SHAPES:
        check(f"{kind}, {mx.bfloat16} with 4 bits", partial(answer, kind, mx.bfloat16, 4), False)
PY
"$here/venv/bin/python" "$here/try.py"
