"""An EAGLE-3 head's starting weights, taken from the target. NumPy only.

The head continues from the last state it reads: `fc` passes that one on, the decoder layer is the target's last, with
the half that reads embeddings from the target's first, and vocabulary and final norm are the target's own.
"""

import numpy as np
from numpy.typing import NDArray

from mlx_spec.training.initial import Weights

START_GAIN = 0.5
"""The target's last layer sees one token less than it was made for: it starts out less sure of what it says."""


def initial_eagle(target: Weights, layers: int, taps: int, token_ids: NDArray[np.int64]) -> Weights:
    """The head's weights under the published names. The states it reads are taken to be scaled to 1 (root mean
    square)."""
    first, last = "model.layers.0.", f"model.layers.{layers - 1}."
    hidden = target["model.norm.weight"].shape[0]
    fc = np.zeros((hidden, taps * hidden), np.float32)
    fc[:, -hidden:] = np.eye(hidden, dtype=np.float32)
    weights: Weights = {
        "fc.weight": fc,
        "norm.weight": START_GAIN * target["model.norm.weight"],
        "lm_head.weight": target["model.embed_tokens.weight"][token_ids],
        "midlayer.input_layernorm.weight": target[f"{first}input_layernorm.weight"],
        "midlayer.hidden_norm.weight": target[f"{last}input_layernorm.weight"],
        "midlayer.post_attention_layernorm.weight": target[f"{last}post_attention_layernorm.weight"],
    }
    for name in ("q_proj", "k_proj", "v_proj"):
        both = [target[f"{source}self_attn.{name}.weight"] for source in (first, last)]
        weights[f"midlayer.self_attn.{name}.weight"] = np.concatenate(both, axis=1)
    for name in ("self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"):
        weights[f"midlayer.{name}.weight"] = target[f"{last}{name}.weight"]
    return {name: np.ascontiguousarray(weight, np.float32) for name, weight in weights.items()}
