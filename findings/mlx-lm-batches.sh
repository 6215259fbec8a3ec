#!/bin/sh
# mlx-lm: in a batch, mamba gives other words for the shorter prompts at temperature 0, and gemma2 raises.
#
# Shorter prompts are padded on the left. llama and mamba2 mask the padding, mamba's state reads it. gemma2 groups its
# heads in a fifth axis, and the batch's mask, which has four, does not fit there.
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
from mlx_lm.generate import BatchGenerator, generate_step

LENGTH = 24
EQUAL = [[5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]]
UNEQUAL = [[5, 6, 7, 8], [*range(9, 25)], [13, 14, 15]]
# By model: what comes of a batch of equal and of unequal lengths.
OUTCOMES = {
    "llama": ("right", "right"),
    "mamba2": ("right", "right"),
    "mamba": ("right", "wrong"),
    "gemma2": ("ValueError", "ValueError"),
}
SIZES = dict(vocab_size=128, num_hidden_layers=2, hidden_size=64, intermediate_size=128, rms_norm_eps=1e-5)
ATTENTION = dict(**SIZES, num_attention_heads=4, num_key_value_heads=2, head_dim=16)
SHAPES = {
    "llama": ATTENTION,
    "gemma2": ATTENTION,
    "mamba2": dict(
        **SIZES, state_size=8, conv_kernel=4, use_bias=False, use_conv_bias=True, time_step_rank="auto", num_heads=8,
        head_dim=16, n_groups=1, time_step_limit=(0.0, float("inf")), layer_norm_epsilon=1e-5, tie_word_embeddings=False,
    ),
    "mamba": dict(**SIZES, state_size=8, conv_kernel=4, use_bias=False, use_conv_bias=True, time_step_rank=4),
}


def random_model(kind: str) -> nn.Module:
    module = importlib.import_module(f"mlx_lm.models.{kind}")
    mx.random.seed(4)
    model = module.Model(module.ModelArgs.from_dict({"model_type": kind, **SHAPES[kind]}))
    model.update(
        tree_map(lambda w: 0.25 * mx.random.normal(w.shape) if w.ndim == 2 else w, model.parameters())
    )
    return model


def alone(model: nn.Module, prompt: list[int]) -> list[int]:
    return [int(step[0]) for step in generate_step(mx.array(prompt), model, max_tokens=LENGTH)]


def together(model: nn.Module, prompts: list[list[int]]) -> list[list[int]]:
    batch = BatchGenerator(model, max_tokens=LENGTH)
    said: dict[int, list[int]] = {uid: [] for uid in batch.insert(prompts)}
    while any(len(ids) < LENGTH for ids in said.values()):
        for answer in batch.next_generated():
            said[answer.uid].append(int(answer.token))
    return list(said.values())


def outcome(model: nn.Module, prompts: list[list[int]]) -> str:
    try:
        said = together(model, prompts)
    except ValueError as error:
        print(f"    {error}")
        return type(error).__name__
    return "right" if said == [alone(model, prompt) for prompt in prompts] else "wrong"


mx.set_default_device(mx.cpu)
print({name: importlib.metadata.version(name) for name in ("mlx", "mlx-lm")})
print("Stated: against each prompt alone, three prompts of equal and of unequal lengths in a batch are:")
for kind, stated in OUTCOMES.items():
    print(f"  {kind}: {stated}")
print("Seen:")
for kind, stated in OUTCOMES.items():
    model = random_model(kind)
    seen = outcome(model, EQUAL), outcome(model, UNEQUAL)
    print(f"  {kind}: {seen}")
    if seen != stated:
        sys.exit(f"Not as stated: the batches of {kind}.")
PY
"$here/venv/bin/python" "$here/try.py"
