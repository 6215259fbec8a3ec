"""A whole model, whose weights were not read yet, made into a rank's part of it."""

import copy
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.nn.layers.distributed import shard_inplace
from mlx.utils import tree_flatten

from mlx_spec.errors import UnsupportedModelError
from mlx_spec.models.splitting.balance import balanced
from mlx_spec.models.splitting.ends import Elsewhere, Ends, NoHead, SharedEmbedding, ends_of
from mlx_spec.models.splitting.flow import NotPlainError, flow_of
from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.pipeline import give_out
from mlx_spec.models.splitting.places import calls_through, put
from mlx_spec.models.splitting.share import Share
from mlx_spec.models.splitting.split import Split
from mlx_spec.models.splitting.tensor import shard
from mlx_spec.models.splitting.ties import tie


def divide(model: Any, split: Split, links: Links, name: str) -> None:
    """Have `model` be this rank's part, lazily. Raises UnsupportedModelError, which calls the model `name`."""
    if split.way == "pipeline":
        _as_pipeline(model, split, links, name)
    else:
        _as_tensors(model, split, links, name)


def _as_tensors(model: Any, split: Split, links: Links, name: str) -> None:
    ends = ends_of(model)
    head = dict.__getitem__(*ends.head) if ends and ends.head else None
    sums = shard(model, links, strict=split.exactness == "strict")
    if ends is not None:
        container, key = ends.embedding
        put(ends.embedding, _shared(container[key], links))
        if ends.head is not None:
            put(ends.head, head if links.rank() == 0 else NoHead(head))
            if getattr(ends.head[0], "sharding_group", None) is not None:
                ends.head[0].sharding_group = None  # its family would put together scores that rank 0 has alone
    last = model.layers[-1]

    def tied(call: Any, *args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        after = result[0] if isinstance(result, tuple) else result
        for value in (*args, *kwargs.values()):
            tie(value, after)
        return result

    calls_through(last, tied)
    vars(model)[Share.NAME] = Share(split, links, None, sums)


def _shared(embedding: Any, links: Links) -> Any:
    """An embedding whose features are divided; whole where its groups do not divide."""
    if any(array.shape[-1] % links.size() for array in embedding.values() if isinstance(array, mx.array)):
        return embedding
    share = copy.copy(embedding)
    shard_inplace(share, lambda path, weight: weight.ndim - 1, group=links)
    return SharedEmbedding(embedding, share, links)


def layers_by_bytes(model: Any, ends: Ends | None, room: Sequence[float]) -> tuple[int, ...]:
    """So many layers a rank that all hold alike, for what they have room for; rank 0 first."""
    first = last = 0
    if ends is not None:
        first = _nbytes(ends.embedding[0][ends.embedding[1]])
        last = first if ends.head is None else _nbytes(ends.head[0][ends.head[1]])
    return balanced([_nbytes(layer) for layer in model.layers], first, last, room)


def _nbytes(module: nn.Module) -> int:
    return sum(array.nbytes for _, array in tree_flatten(module.parameters()))


def _as_pipeline(model: Any, split: Split, links: Links, name: str) -> None:
    ends = ends_of(model)
    try:
        flow = flow_of(model)
    except NotPlainError as error:
        raise UnsupportedModelError(f"{name} cannot be split by layers: {error}.") from error
    layers = split.layers or layers_by_bytes(model, ends, [1.0] * links.size())
    relay = give_out(model, links, layers, flow)
    if ends is not None:
        (container, key) = ends.embedding
        if links.rank() < links.size() - 1:
            put(ends.embedding, Elsewhere(container[key], links))
        if ends.head is not None and links.rank() > 0:
            put(ends.head, NoHead(ends.head[0][ends.head[1]]))
    vars(model)[Share.NAME] = Share(split, links, relay, None)
