"""`python -m tests.bench.paired.small_models FOLDER TOKENIZER`: random models that cannot begin just anywhere, for
`mlx-spec bench --turns --target FOLDER/hybrid --draft none` and `FOLDER/window`.

They are small, and still wide enough that a prompt of 2,000 tokens takes longer to read than anything else. Words are
those of TOKENIZER, the folder of any model with a chat template, as the imported starter.
"""

import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
from mlx.utils import tree_flatten

_COMMON: Final[dict[str, Any]] = {
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 8192,
    "rope_theta": 10000.0,
}
RECIPES: Final[dict[str, dict[str, Any]]] = {
    "hybrid": {
        **_COMMON,
        "model_type": "lfm2",
        "norm_eps": 1e-5,
        "conv_bias": False,
        "conv_L_cache": 3,
        "block_dim": 256,
        "block_multiple_of": 64,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False,
        "block_ff_dim": 768,
        "layer_types": ["conv", "conv", "full_attention", "conv"] * 2,
    },
    "window": {
        **_COMMON,
        "model_type": "gemma3_text",
        "rms_norm_eps": 1e-6,
        "query_pre_attn_scalar": 32,
        "sliding_window": 512,
        "sliding_window_pattern": 4,
    },
}
"""Convolutions whose states cannot be cut beside full attention; and windows of 512 tokens beside it."""


def save_recipe(name: str, folder: Path, tokenizer: Path) -> None:
    """Write the model of a recipe in mlx-lm's layout, with the words of the model in `tokenizer`."""
    folder.mkdir(parents=True)
    vocab_size = json.loads((tokenizer / "config.json").read_text())["vocab_size"]
    config = {**RECIPES[name], "vocab_size": vocab_size}
    module = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    mx.random.seed(0)
    model = module.Model(module.ModelArgs.from_dict(config))
    for file in tokenizer.glob("*token*.json"):
        shutil.copy(file, folder)
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))
    (folder / "config.json").write_text(json.dumps(config))


def main() -> None:
    """Write all of them."""
    folder, tokenizer = (Path(text) for text in sys.argv[1:])
    for name in RECIPES:
        save_recipe(name, folder / name, tokenizer)


if __name__ == "__main__":
    main()
