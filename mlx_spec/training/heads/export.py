"""Write trained heads as folders in their published formats; an EAGLE-3 head with quantised weights."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten
from numpy.typing import NDArray

from mlx_spec.errors import StorageError
from mlx_spec.models.heads.eagle import Eagle3Head
from mlx_spec.training.export import folder_bytes, small
from mlx_spec.training.rounding import Rounding

SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "vocab_size",
    "max_position_embeddings",
)


def export_eagle(
    head: Eagle3Head,
    config: dict[str, Any],
    token_ids: NDArray[np.int64],
    taps: tuple[int, ...],
    rounding: Rounding,
    out: Path,
) -> int:
    """Quantise the head in place, and save it; give the folder's size in bytes. Raises StorageError."""
    layer, matrix = ({"group_size": rounding.group, "bits": bits} for bits in (rounding.bits, rounding.vocabulary_bits))
    nn.quantize(
        head,
        **layer,
        class_predicate=lambda path, module: (
            hasattr(module, "to_quantized") and (matrix if path == "lm_head" else True)
        ),
    )
    described = {
        "architectures": ["LlamaForCausalLMEagle3"],
        "model_type": "llama",
        "num_hidden_layers": 1,
        "draft_vocab_size": len(token_ids),
        "tie_word_embeddings": False,
        "eagle_config": {"eagle_aux_hidden_state_layer_ids": list(taps), "use_aux_hidden_state": True},
        "quantization": {**layer, "lm_head": matrix},
        "torch_dtype": "bfloat16",
        **{name: config[name] for name in SIZES if name in config},
    }
    known = np.zeros(config["vocab_size"], np.bool_)
    known[token_ids] = True
    weights = {name: small(name, value) for name, value in tree_flatten(head.parameters())}
    weights["d2t"] = mx.array((token_ids - np.arange(len(token_ids))).astype(np.int32))
    weights["t2d"] = mx.array(known)
    return write_head(out, "model.safetensors", weights, json.dumps(described, indent=2, sort_keys=True), "The head")


def write_head(out: Path, file_name: str, weights: dict[str, mx.array], config: str, what: str) -> int:
    """Write a folder with the weights under this name and the text of its `config.json`; give the folder's size in
    bytes. Raises StorageError, which says that `what` cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        mx.save_safetensors(str(out / file_name), weights, metadata={"format": "mlx"})
        (out / "config.json").write_text(config + "\n")
    except (OSError, RuntimeError) as error:
        raise StorageError(f"{what} cannot be written to {out}: {error}.") from error
    return folder_bytes(out)
