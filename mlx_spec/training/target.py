"""The target to distil: a folder in mlx-lm's layout. Its weights, its configuration, its tokenizer."""

import copy
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.models import llama

from mlx_spec.errors import CorruptModelError, ModelNotFoundError, TrainingError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.weights import load_weights
from mlx_spec.training.initial import Weights


@dataclass(frozen=True, slots=True)
class Target:
    """A llama target, with its weights as float32 NumPy arrays under Hugging Face's names (dequantised where
    needed)."""

    folder: ModelFolder
    config: dict[str, Any]
    weights: Weights
    model: llama.Model
    tokenizer: Any


def load_target(folder: ModelFolder) -> Target:
    """Load a target. Raises ModelNotFoundError, CorruptModelError, or TrainingError where it is not a llama."""
    if folder.written is None:
        raise ModelNotFoundError(
            f"The folder {folder.path} holds no model: give a folder in mlx-lm's layout, with a config.json."
        )
    config = copy.deepcopy(dict(folder.config))  # training changes it, and the folder goes on
    if config.get("model_type") != "llama":
        raise TrainingError(f"A draft can be cut from a llama only, not from {config.get('model_type')!r}.")
    try:
        model = load_weights(folder)
        tokenizer = folder.tokenizer
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise CorruptModelError(f"The target in {folder.path} cannot be loaded.", details=str(error)) from error
    return Target(folder, config, plain_weights(model), model, tokenizer)


def plain_weights(model: nn.Module) -> Weights:
    """All weights as float32, quantised ones dequantised."""
    flat: dict[str, mx.array] = dict(tree_flatten(model.parameters()))
    weights: Weights = {}
    for name, module in model.named_modules():
        if hasattr(module, "scales"):
            full = mx.dequantize(module.weight, module.scales, module.biases, module.group_size, module.bits)
            weights[f"{name}.weight"] = np.array(full.astype(mx.float32))
    for name, value in flat.items():
        if name not in weights and not name.endswith((".scales", ".biases")):
            weights[name] = np.array(value.astype(mx.float32))
    return weights
