"""What training of an EAGLE-3 head starts from: the target's own layers, or an earlier head."""

from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_spec.errors import ModelNotFoundError, TrainingError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.heads.checkpoint import read_checkpoint
from mlx_spec.models.heads.eagle import Eagle3Head
from mlx_spec.models.heads.loading import head_for
from mlx_spec.training.heads.initial import initial_eagle
from mlx_spec.training.initial import Weights
from mlx_spec.training.start import fitting
from mlx_spec.training.target import Target, plain_weights


@dataclass(frozen=True, slots=True)
class EagleStart:
    """An earlier head: its weights for states as the target has them, the tokens `[draft vocab]` that it drafts, in
    the target's ids, and the layers that it reads."""

    weights: Weights
    token_ids: NDArray[np.int64]
    taps: tuple[int, ...]


def read_start(folder: Path, target: Target) -> EagleStart:
    """Read the head in `folder`, dequantised where needed.

    Raises ModelNotFoundError, TrainingError where it is another kind or shape of head than training makes, and what
    `head_for` raises.
    """
    place = ModelFolder.at(folder)
    if place.head_kind is None:
        raise ModelNotFoundError(f"There is no head in {folder}: give the folder of an EAGLE-3 head.")
    head = head_for(target.model, target.folder.name, read_checkpoint(place, place.head_kind))
    if not isinstance(head, Eagle3Head) or head.midlayer.norm_before_residual or "embed_tokens" in head:
        raise TrainingError(
            f"The head in {folder} cannot be trained on: training makes EAGLE-3 heads of the paper's form."
        )
    weights = plain_weights(head)
    rows = mx.arange(len(weights["lm_head.weight"])) if head.token_ids is None else head.token_ids
    token_ids = np.array(rows).astype(np.int64)
    fresh = initial_eagle(target.weights, target.config["num_hidden_layers"], len(head.taps), token_ids)
    return EagleStart(fitting(weights, fresh, f"The head in {folder}"), token_ids, head.taps)
