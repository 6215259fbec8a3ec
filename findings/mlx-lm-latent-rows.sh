#!/bin/sh
# mlx-lm: DeepSeek's attention computes a single token in another form than several, so scoring drafts rounds otherwise.
#
# With one token the keys' and values' projections are absorbed into the query and the output; with more they are
# applied to every key (`if L == 1`). In real numbers both are the same, in bfloat16 the logits differ, and a speculative
# answer can part from the plain one at a near-tie. Llama's rows have the same bits either way.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
trap 'exit 130' INT TERM
"${PYTHON:-python3}" -m venv "$here/venv"
case "$(uname -s)" in Darwin) mlx=mlx ;; *) mlx='mlx[cpu]' ;; esac
"$here/venv/bin/python" -m pip install -q --disable-pip-version-check "$mlx==0.32.4" mlx-lm==0.32.2
cat >"$here/try.py" <<'PY'
import importlib
import importlib.metadata
import sys

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

SHAPE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-5,
    "vocab_size": 60,
    "rope_theta": 10000.0,
    "max_position_embeddings": 512,
}
LATENT = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "n_routed_experts": None,
    "n_shared_experts": None,
}


def difference(name, more):
    mx.random.seed(0)
    module = importlib.import_module(f"mlx_lm.models.{name}")
    model = module.Model(module.ModelArgs.from_dict({"model_type": name, **SHAPE, **more}))
    model.set_dtype(mx.bfloat16)
    rows = []
    for parts in ([[7, 11, 13, 17]], [[7], [11], [13], [17]]):
        cache = make_prompt_cache(model)
        model(mx.array([[3, 1, 4, 1, 5, 9, 2, 6]]), cache=cache)
        rows.append(mx.concatenate([model(mx.array([part]), cache=cache)[0] for part in parts]).astype(mx.float32))
    return (mx.max(mx.abs(rows[0] - rows[1])) / mx.max(mx.abs(rows[1]))).item()


print({name: importlib.metadata.version(name) for name in ("mlx", "mlx-lm")})
print("Stated: four tokens in one pass have the logits that they have one by one; in bfloat16 DeepSeek V3's differ.")
llama, latent = difference("llama", {}), difference("deepseek_v3", LATENT)
print(f"Seen: the greatest difference is {llama:.1e} of the greatest logit for llama, {latent:.1e} for deepseek_v3.")
if latent < 1e-4 or latent < 10 * llama:
    sys.exit("Not as stated.")
PY
"$here/venv/bin/python" "$here/try.py"
