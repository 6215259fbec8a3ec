"""A model's ends on a rank: its embedding, and its head, which rank 0 alone has."""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.places import Place, places


@dataclass(frozen=True, slots=True)
class Ends:
    """Where they hang. `head` is None where the embedding is the head too."""

    embedding: Place
    head: Place | None


def ends_of(model: Any) -> Ends | None:
    """The ends of a model, told by their sizes; None where they are not where models have them."""
    inside = {id(module) for layer in model.layers for module in layer.modules()}
    outside = [(place, module) for place, module in places(model) if id(module) not in inside]
    width = model(mx.zeros((1, 1), dtype=mx.int32)).shape[-1]
    embeddings = [place for place, module in outside if _is_embedding(module) and module.weight.shape[0] >= width]
    heads = [place for place, module in outside if _is_linear(module) and module.weight.shape[0] == width]
    if len(embeddings) != 1 or len(heads) > 1:
        return None
    return Ends(embeddings[0], heads[0] if heads else None)


def _is_embedding(module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding | nn.QuantizedEmbedding)


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | nn.QuantizedLinear)


class NoHead(nn.Module):  # type: ignore[misc]
    """Where rank 0 has the head: states go through as they are."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self._dtype = head.weight.dtype

    @property
    def weight(self) -> mx.array:
        """Some families ask what type it is of."""
        return mx.zeros((1, 1), dtype=self._dtype)

    def __call__(self, x: mx.array) -> mx.array:
        """`x`."""
        return x


class _Embedding(nn.Module):  # type: ignore[misc]
    """What stands in for an embedding. `at_hand` is the whole one, on rank 0 alone, where heads and tied scores use it;
    unless they do, it is never read."""

    def __init__(self, embedding: Any, links: Links) -> None:
        super().__init__()
        # Not as a module: it is no part of what this rank has to read.
        object.__setattr__(self, "at_hand", embedding if links.rank() == 0 else None)

    def as_linear(self, x: mx.array) -> mx.array:
        """Scores, on rank 0."""
        return x if self.at_hand is None else self.at_hand.as_linear(x)


class SharedEmbedding(_Embedding):
    """Each rank has some features of every token's embedding."""

    def __init__(self, embedding: Any, share: Any, links: Links) -> None:
        super().__init__(embedding, links)
        self.share, self._links = share, links

    def __call__(self, token_ids: mx.array) -> mx.array:
        """`[..., hidden]`."""
        return self._links.side_by_side(self.share(token_ids))


class Elsewhere(_Embedding):
    """Another rank embeds: nothing but the shape is right."""

    def __init__(self, embedding: Any, links: Links) -> None:
        super().__init__(embedding, links)
        state = embedding(mx.zeros((1, 1), dtype=mx.int32))
        self._width, self._dtype = state.shape[-1], state.dtype

    def __call__(self, token_ids: mx.array) -> mx.array:
        """Zeros `[..., hidden]`."""
        return mx.zeros((*token_ids.shape, self._width), dtype=self._dtype)
