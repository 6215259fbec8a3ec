#!/bin/sh
# mlx-lm: with a draft, a model with a sliding window gives other words at temperature 0 once the window has wrapped.
#
# `speculative_generate_step` asks whether the cache can be trimmed while it is still empty. `RotatingKVCache` says yes
# then; later, when rejected drafts have overwritten what the window still needs, trimming moves its counters only.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
export HF_HUB_OFFLINE=1 HF_HOME="$here/hf"
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check \
    "mlx[cpu]==0.32.4" mlx-lm==0.32.2 transformers==5.23.0 huggingface-hub==2.4.0
cat >"$here/try.py" <<'PY'
import importlib.metadata
import sys

import mlx.core as mx
from mlx.utils import tree_map
from mlx_lm.generate import generate_step, speculative_generate_step
from mlx_lm.models.gemma3_text import Model, ModelArgs

WINDOW, UNREACHED, LENGTH, DRAFTS = 24, 4096, 60, 3
PROMPT = [5, 6, 7, 8]
DIFFERS_WITH_WINDOW, DIFFERS_WITHOUT = True, False


def random_model(seed: int, window: int) -> Model:
    """A small Gemma 3; the weights depend on the seed alone."""
    mx.random.seed(seed)
    model = Model(
        ModelArgs(
            model_type="gemma3_text", vocab_size=300, hidden_size=64, intermediate_size=128, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=2, head_dim=16, query_pre_attn_scalar=16,
            sliding_window=window, sliding_window_pattern=4,
        )
    )
    model.update(
        tree_map(lambda w: 0.25 * mx.random.normal(w.shape) if w.ndim == 2 else w, model.parameters())
    )
    return model


def words_differ(window: int) -> bool:
    target, draft, prompt = random_model(1, window), random_model(2, window), mx.array(PROMPT)
    alone = [int(step[0]) for step in generate_step(prompt, target, max_tokens=LENGTH)]
    drafted = [
        int(step[0])
        for step in speculative_generate_step(
            prompt, target, draft, num_draft_tokens=DRAFTS, max_tokens=LENGTH
        )
    ]
    # What is right is the model without any cache, token by token.
    text = list(PROMPT)
    for _ in range(LENGTH):
        text.append(int(mx.argmax(target(mx.array([text]))[0, -1])))
    right = text[len(PROMPT) :]
    if alone != right:
        sys.exit("Not as stated: without a draft the ids are not those of the model without a cache.")
    first = next((i for i, (one, other) in enumerate(zip(right, drafted)) if one != other), None)
    print(f"  window {window}: without a draft right; with a draft", end=" ")
    print("right" if first is None else f"wrong from token {first} on: {drafted[first]}, not {right[first]}")
    if first is not None and len(PROMPT) + first + 1 + DRAFTS <= window:
        sys.exit("Not as stated: the words were wrong before the window wrapped.")
    return first is not None


mx.set_default_device(mx.cpu)
print({name: importlib.metadata.version(name) for name in ("mlx", "mlx-lm")})
print("Stated: at temperature 0 a draft changes the words once the window has wrapped, and not where it never does.")
print("Seen:")
if (words_differ(WINDOW), words_differ(UNREACHED)) != (DIFFERS_WITH_WINDOW, DIFFERS_WITHOUT):
    sys.exit("Not as stated: see the lines above.")
PY
"$here/venv/bin/python" "$here/try.py"
