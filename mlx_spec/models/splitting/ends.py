"""A model's ends on a rank: its embedding, and its head, which rank 0 alone has."""

import copy
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.nn.layers.distributed import shard_inplace
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.places import Place, calls_through, places, put
from mlx_spec.models.splitting.relay import Relay


@dataclass(frozen=True, slots=True)
class Ends:
    """Where they hang, and the head as it was. `head` is None where the embedding is the head too. `embeds_once`:
    whether a pass looks its tokens up in one go, as all but odd models do."""

    embedding: Place
    head: Place | None
    whole_head: Any
    embeds_once: bool

    @property
    def is_handed_on(self) -> bool:
        """Whether, in a pipeline, rank 0 looks tokens up for the rank with the first layers: what it needs for the
        head anyway need not be held twice."""
        return self.head is None and self.embeds_once


def ends_of(model: Any) -> Ends | None:
    """The ends of a model, told by their sizes; None where they are not where models have them."""
    inside = {id(module) for layer in model.layers for module in layer.modules()}
    outside = [(place, module) for place, module in places(model) if id(module) not in inside]
    width = _width(model)
    embeddings = [place for place, module in outside if _is_embedding(module) and module.weight.shape[0] >= width]
    heads = [place for place, module in outside if _is_linear(module) and module.weight.shape[0] == width]
    if len(embeddings) != 1 or len(heads) > 1:
        return None
    head = heads[0] if heads else None
    once = _count_calls(model, _at(embeddings[0])) == 1
    return Ends(embeddings[0], head, _at(head) if head is not None else None, once)


def _width(model: Any) -> int:
    """Of what a model gives for a token, from its graph."""
    return int(model(mx.zeros((1, 1), dtype=mx.int32), cache=make_prompt_cache(model)).shape[-1])


def _count_calls(model: Any, module: Any) -> int:
    """How often a pass calls one of a model's modules."""
    own, calls = type(module), 0

    def counted(call: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        return call(*args, **kwargs)

    try:
        calls_through(module, counted)
        _width(model)
    finally:
        module.__class__ = own
    return calls


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


def divide_ends(ends: Ends, links: Links) -> None:
    """Give each rank features of the embedding, where they divide, and rank 0 the head."""
    embedding, is_tied = _at(ends.embedding), ends.head is None
    arrays = [array for array in embedding.values() if isinstance(array, mx.array)]
    if not any(array.shape[-1] % links.size() for array in arrays):
        share = copy.copy(embedding)
        shard_inplace(share, lambda path, weight: weight.ndim - 1, group=links)
        put(ends.embedding, SharedEmbedding(embedding, share, links))
    elif is_tied and links.rank() > 0:
        put(ends.embedding, Unscored(embedding))
    _give_head(ends, links)


def give_ends(ends: Ends, links: Links, relay: Relay) -> None:
    """Give rank 0 the head, and the last rank the embedding, which it begins with. An embedding that is the head too
    rank 0 alone has, and the last rank is sent what it looked up."""
    embedding, is_tied = _at(ends.embedding), ends.head is None
    is_last = links.rank() == links.size() - 1
    if ends.is_handed_on and links.rank() == 0:
        looks_up = LooksUp(embedding, links, is_tied=True)
        relay.begin = looks_up.sent
        put(ends.embedding, looks_up)
    elif ends.is_handed_on and is_last:
        put(ends.embedding, HandedOn(embedding, links, is_tied=True))
    elif not is_last:
        put(ends.embedding, Elsewhere(embedding, links, is_tied=is_tied))
    elif is_tied:
        put(ends.embedding, Unscored(embedding))
    _give_head(ends, links)


def _give_head(ends: Ends, links: Links) -> None:
    if ends.head is None:
        return
    # Some families have divided it, to put together scores that rank 0 has alone here.
    put(ends.head, ends.whole_head if links.rank() == 0 else NoHead(ends.whole_head))
    if getattr(ends.head[0], "sharding_group", None) is not None:
        ends.head[0].sharding_group = None


def _at(place: Place) -> Any:
    container, key = place
    return container[key]


class _Embedding(nn.Module):  # type: ignore[misc]
    """What stands in for an embedding. `at_hand` is the whole one on rank 0: what scores, where it is the head too, and
    what heads embed drafts with."""

    at_hand: Any

    def as_linear(self, x: mx.array) -> mx.array:
        """Scores on rank 0; elsewhere states go through as they are."""
        scores: mx.array = x if self.at_hand is None else self.at_hand.as_linear(x)
        return scores


class SharedEmbedding(_Embedding):
    """Each rank has some features of every token's embedding, and rank 0 all of them."""

    def __init__(self, embedding: Any, share: Any, links: Links) -> None:
        super().__init__()
        self._links = links
        self._width = embedding(mx.zeros((1,), dtype=mx.int32)).shape[-1] // links.size()
        if links.rank() == 0:
            self.at_hand = embedding
        else:
            object.__setattr__(self, "at_hand", None)
            self.share = share

    def __call__(self, token_ids: mx.array) -> mx.array:
        """`[..., hidden]`."""
        own = self.at_hand(token_ids)[..., : self._width] if self._links.rank() == 0 else self.share(token_ids)
        return self._links.side_by_side(own)


class Elsewhere(_Embedding):
    """Another rank embeds: nothing but the shape is right."""

    def __init__(self, embedding: Any, links: Links, *, is_tied: bool) -> None:
        super().__init__()
        if links.rank() == 0 and is_tied:
            self.at_hand = embedding
        else:  # not as a module: unless a head drafts with it, it is never read
            object.__setattr__(self, "at_hand", embedding if links.rank() == 0 else None)
        state = embedding(mx.zeros((1, 1), dtype=mx.int32))
        self._links, self._width, self._dtype = links, state.shape[-1], state.dtype

    def __call__(self, token_ids: mx.array) -> mx.array:
        """Zeros `[..., hidden]`."""
        return mx.zeros((*token_ids.shape, self._width), dtype=self._dtype)


class LooksUp(Elsewhere):
    """On rank 0: looks tokens up for the rank with the first layers. What it has itself for them is let through.

    What is sent depends on nothing that comes back, and what comes back on nothing at hand: so each is set going when
    it is built, before the rest of its pass. Both ends do so, as what one of them never made would be taken for part of
    the next pass.
    """

    def __call__(self, token_ids: mx.array) -> mx.array:
        """Zeros `[..., hidden]`; the states are on their way. Where a graph is traced, or only looked at, nothing is
        sent: who replays it does."""
        sent = self.sent(token_ids)
        if self._links.keeps:
            mx.async_eval(sent)  # type: ignore[no-untyped-call]
        return super().__call__(token_ids)

    def sent(self, token_ids: mx.array) -> mx.array:
        """The states of tokens, `[..., hidden]`, sent where they are computed."""
        return self._links.sent(self.at_hand(token_ids), self._links.size() - 1)


class HandedOn(Elsewhere):
    """On the rank with the first layers: what rank 0 has looked up."""

    def __call__(self, token_ids: mx.array) -> mx.array:
        """`[..., hidden]`."""
        came = self._links.received((*token_ids.shape, self._width), self._dtype, 0)
        if self._links.keeps:
            mx.async_eval(came)  # type: ignore[no-untyped-call]
        return came


class Unscored(nn.Module):  # type: ignore[misc]
    """An embedding that is the head too, where rank 0 scores."""

    def __init__(self, embedding: Any) -> None:
        super().__init__()
        self.embedding = embedding

    def __call__(self, token_ids: mx.array) -> mx.array:
        """As the embedding's own."""
        states: mx.array = self.embedding(token_ids)
        return states

    def as_linear(self, x: mx.array) -> mx.array:
        """`x`."""
        return x
