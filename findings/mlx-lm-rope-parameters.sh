#!/bin/sh
# mlx-lm: the rope base of a config.json as transformers 5 saves it is not read; the model loads without a word.
#
# transformers 5 writes `rope_theta` inside `rope_parameters`, and no more at the top. mlx-lm's llama and qwen2 look at
# the top only, and take their own default.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
export HF_HUB_OFFLINE=1 HF_HOME="$here/hf" TRANSFORMERS_VERBOSITY=critical
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check \
    "mlx[cpu]==0.32.4" mlx-lm==0.32.2 transformers==5.23.0 huggingface-hub==2.4.0
cat >"$here/try.py" <<'PY'
import importlib
import importlib.metadata
import json
import sys
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model
from transformers import LlamaConfig, Qwen2Config

BASE = 500_000
LOADED_WITH = {"llama": 10_000, "qwen2": 1_000_000}
SHAPE = dict(
    vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
)


def save_weights(config: dict, folder: Path) -> None:
    """Random weights under the names that mlx-lm reads."""
    module = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    mx.random.seed(3)
    weights = tree_flatten(module.Model(module.ModelArgs.from_dict(config)).parameters())
    mx.save_safetensors(str(folder / "model.safetensors"), dict(weights), metadata={"format": "mlx"})


def loaded(folder: Path) -> tuple[float, mx.array]:
    """The rope base, and the logits after 200 tokens."""
    model, _ = load_model(folder)
    return model.layers[0].self_attn.rope.base, model((mx.arange(200) % 64)[None])[0, -1]


mx.set_default_device(mx.cpu)
print({name: importlib.metadata.version(name) for name in ("mlx", "mlx-lm", "transformers")})
print(f"Stated: with rope_theta {BASE} in rope_parameters, the bases loaded are {LOADED_WITH}; at the top it is read.")
print("Seen:")
for kind in (LlamaConfig, Qwen2Config):
    folder = Path(sys.argv[1]) / kind.model_type
    kind(**SHAPE, rope_parameters={"rope_type": "default", "rope_theta": float(BASE)}).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    save_weights(config, folder)
    base, logits = loaded(folder)
    (folder / "config.json").write_text(json.dumps(config | {"rope_theta": float(BASE)}))
    right_base, right_logits = loaded(folder)
    apart = float(mx.abs(logits - right_logits).max())
    print(f"  {kind.model_type}: saved {config['rope_parameters']}, rope_theta {config.get('rope_theta')};", end=" ")
    print(f"loaded with {base:.0f}, with {right_base:.0f} from the top; logits up to {apart:.3f} apart")
    if (base, right_base) != (LOADED_WITH[kind.model_type], BASE) or apart == 0:
        sys.exit(f"Not as stated: the rope base of {kind.model_type}, or what it changes, is another.")
PY
"$here/venv/bin/python" "$here/try.py" "$here"
