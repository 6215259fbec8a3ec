#!/bin/sh
# mlx-lm: `kv_bits` quantises nothing in falcon_h1, without a word, and breaks a sliding-window model's answer off.
#
# The option begins behind 5,000 tokens, as described. There each of the model's caches is asked whether it has
# `to_quantized`. `CacheList` has none, so the KVCache in it stays as it is; `RotatingKVCache` has one that raises.
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

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map
from mlx_lm.generate import generate_step
from mlx_lm.models.cache import make_prompt_cache

BITS, LENGTH, SHORT, LONG = 4, 24, 8, 4990
# By model: what comes of a short prompt, of one whose answer passes 5,000 tokens, and of a short one with start 0.
OUTCOMES = {
    "llama": ("in full", "in fewer bits", "in fewer bits"),
    "gemma3_text": ("in full", "NotImplementedError", "NotImplementedError"),
    "falcon_h1": ("in full", "in full", "in full"),
}
SIZES = dict(
    vocab_size=128, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, head_dim=64, rms_norm_eps=1e-5, max_position_embeddings=8192,
)
SHAPES = {
    "llama": SIZES,
    "gemma3_text": dict(**SIZES, query_pre_attn_scalar=64, sliding_window=16, sliding_window_pattern=2),
    "falcon_h1": dict(
        **SIZES, rope_theta=10000.0, attention_bias=False, mlp_bias=False, projectors_bias=False,
        tie_word_embeddings=False, mamba_d_ssm=32, mamba_n_heads=2, mamba_d_head=16, mamba_d_state=8, mamba_n_groups=1,
        mamba_d_conv=4, mamba_chunk_size=64, mamba_expand=1, mamba_conv_bias=True, mamba_proj_bias=False,
        mamba_norm_before_gate=True, mamba_rms_norm=False, attention_in_multiplier=1.0, attention_out_multiplier=1.0,
        embedding_multiplier=1.0, key_multiplier=1.0, lm_head_multiplier=1.0, mlp_multipliers=[1.0, 1.0],
        ssm_in_multiplier=1.0, ssm_out_multiplier=1.0, ssm_multipliers=[1.0] * 5,
    ),
}


def random_model(kind: str) -> nn.Module:
    module = importlib.import_module(f"mlx_lm.models.{kind}")
    mx.random.seed(4)
    model = module.Model(module.ModelArgs.from_dict({"model_type": kind, **SHAPES[kind]}))
    model.update(tree_map(lambda w: 0.25 * mx.random.normal(w.shape) if w.ndim == 2 else w, model.parameters()))
    return model


def answer(model: nn.Module, tokens: int, **options: int) -> tuple[int, int, str | None]:
    """How many words were said, the bytes of the caches then, and what was raised."""
    caches, said = make_prompt_cache(model), 0
    prompt = mx.array([5 + place % 100 for place in range(tokens)])
    try:
        for _ in generate_step(prompt, model, max_tokens=LENGTH, prompt_cache=caches, **options):
            said += 1
    except NotImplementedError as error:
        return said, 0, type(error).__name__
    return said, sum(cache.nbytes for cache in caches), None


def outcome(model: nn.Module, tokens: int, **options: int) -> str:
    said, held, raised = answer(model, tokens, kv_bits=BITS, **options)
    print(f"    prompt of {tokens} tokens, {options or 'default start'}: {said} of {LENGTH} words", end=", ")
    if raised is not None:
        print(raised)
        return raised
    _, in_full, _ = answer(model, tokens)
    print(f"caches of {held:,} bytes, {in_full:,} without the option")
    return "in full" if held == in_full else "in fewer bits" if held < in_full else "in more bits"


mx.set_default_device(mx.cpu)
print({name: importlib.metadata.version(name) for name in ("mlx", "mlx-lm")})
print(f"Stated: with kv_bits={BITS} a short prompt, one whose answer passes 5,000 tokens, a short one with start 0:")
for kind, stated in OUTCOMES.items():
    print(f"  {kind}: {', '.join(stated)}")
print("Seen:")
for kind, stated in OUTCOMES.items():
    model = random_model(kind)
    print(f"  {kind}:")
    seen = outcome(model, SHORT), outcome(model, LONG), outcome(model, SHORT, quantized_kv_start=0)
    if seen != stated:
        sys.exit(f"Not as stated: {kind} is {seen}.")
PY
"$here/venv/bin/python" "$here/try.py"
