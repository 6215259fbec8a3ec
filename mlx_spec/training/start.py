"""The weights that training starts from: cut from the target, or those of an earlier draft."""

from pathlib import Path

import mlx.core as mx
import numpy as np

from mlx_spec.errors import CorruptModelError, ModelNotFoundError, TrainingError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.weights import load_weights
from mlx_spec.training.initial import Weights, initial_weights
from mlx_spec.training.recipe import DraftShape
from mlx_spec.training.target import Target, plain_weights


def start_weights(target: Target, shape: DraftShape, start: Path | None) -> Weights:
    """A draft's first weights: those in `start`, a draft's folder (dequantised) or a file of floats; else the
    target's own layers.

    Raises ModelNotFoundError, CorruptModelError, or TrainingError where `start` is a draft of another shape.
    """
    fresh = initial_weights(target.weights, shape)
    if start is None:
        return fresh
    return fitting(read_weights(start), fresh, f"The draft in {start}")


def fitting(weights: Weights, wanted: Weights, owner: str) -> Weights:
    """Those of the weights that are wanted. Raises TrainingError, naming their owner, where one is not there or has
    another shape."""
    for name, like in wanted.items():
        if name not in weights or weights[name].shape != like.shape:
            found = weights[name].shape if name in weights else "missing"
            raise TrainingError(f"{owner} cannot be trained on: {name} is {found}, not {like.shape}.")
    return {name: weights[name] for name in wanted}


def read_weights(path: Path) -> Weights:
    """Weights under Hugging Face's names, in float32, of a model's folder or of a `.safetensors` file."""
    if not path.exists():
        raise ModelNotFoundError(f"There is no draft at {path}: give a folder or a .safetensors file.")
    try:
        if path.is_dir():
            model = load_weights(ModelFolder.at(path))
            return plain_weights(model)
        arrays: dict[str, mx.array] = mx.load(str(path), format="safetensors")  # type: ignore[assignment]
        return {name: np.array(value.astype(mx.float32)) for name, value in arrays.items()}
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise CorruptModelError(f"The draft in {path} cannot be loaded.", details=str(error)) from error
