"""A rank's part of a model: read lazily, so that what other ranks have is never in memory."""

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.splitting.dividing import divide
from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.split import Split
from mlx_spec.models.weights import lazy_model, read_weights, telling_what_fails


def load_shard(
    folder: ModelFolder,
    split: Split,
    group: mx.distributed.Group,
    told: Callable[[int], None] = lambda read: None,
) -> nn.Module:
    """Load what this rank has of the model in a folder; `told` hears how many bytes were read since it last did.

    What it gives is called like the whole model, with its own caches (`make_prompt_cache`), over the same tokens on all
    ranks. Rank 0 gets the logits; the others get something in their place.

    Raises UnsupportedModelError where the model cannot be split this way, and as `load_weights`.
    """
    with telling_what_fails(folder):
        model = lazy_model(folder)
    divide(model, split, Links(group), folder.name)
    with telling_what_fails(folder):
        # The ends last: they are read as they are, and of what is cut the whole is in memory for a moment.
        inside = {id(array) for layer in model.layers for _, array in tree_flatten(layer.parameters())}
        weights = [array for _, array in tree_flatten(model.parameters())]
        read_weights(sorted(weights, key=lambda array: id(array) not in inside), told)
    return model
