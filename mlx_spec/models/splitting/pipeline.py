"""A model with whole layers on each rank, which hand a pass on: rank 0 has the last ones, the last rank the first.

Where a family of mlx-lm's has a `pipeline()`, that gives out the layers, and its loop goes over a rank's own. In all
others layers of other ranks are stood in for by what lets states through. In both, the first layer of a rank's own
receives what comes before it, the last sends. No sum is changed, so each row has the bits that one machine gives it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.models.splitting.flow import Flow, NotPlainError
from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.places import become, calls_through, emptied
from mlx_spec.models.splitting.relay import Relay


def own_layers(layers: Sequence[int], rank: int) -> range:
    """Which layers are a rank's, of so many `layers` a rank."""
    first = sum(layers[rank + 1 :])
    return range(first, first + layers[rank])


def has_pipeline(model: Any) -> bool:
    """Whether its family gives out layers itself."""
    return hasattr(getattr(model, "model", None), "pipeline")


def check_kinds(caches: Sequence[Any], layers: Sequence[int]) -> None:
    """Raise NotPlainError unless each rank has a layer of every kind that there is. What can be forgotten, and where a
    text can begin, depends on the kinds, and rank 0 decides it for all."""
    kinds = {type(cache) for cache in caches}
    for rank in range(len(layers)):
        lacks = kinds - {type(caches[number]) for number in own_layers(layers, rank)}
        if lacks:
            names = " or ".join(sorted(kind.__name__ for kind in lacks))
            raise NotPlainError(f"rank {rank} of {len(layers)} would have no layer that keeps a {names}")


def give_out(model: Any, links: Links, layers: Sequence[int], flow: Flow) -> Relay:
    """Have `model` keep this rank's layers, and hand passes on. `layers` are so many a rank.

    `model.layers` stays as long as it was, with nothing in the places of other ranks' layers. Its caches are those of
    its own layers.
    """
    own, blocks = own_layers(layers, links.rank()), list(model.layers)
    whole = Caches(model, own, is_given_out=has_pipeline(model))
    if has_pipeline(model):
        model.model.pipeline(links, list(layers))
        model.model.pipeline_rank, model.model.pipeline_size = 0, 1  # what is between ranks is ours
    relay = Relay(links, flow, own)
    for number, block in enumerate(blocks):
        if number not in own:
            emptied(block)
            calls_through(block, _let_through)
    if own.stop < len(blocks):
        calls_through(blocks[own[-1]], relay.sending)
    if own.start > 0:
        calls_through(blocks[own[0]], relay.receiving)
    become(model, {"layers": property(lambda self: blocks), "make_cache": lambda self: whole.made()})
    calls_through(model, whole.called)
    return relay


def _let_through(call: Callable[..., Any], h: mx.array, *args: Any, **kwargs: Any) -> mx.array:
    return h


class Caches:
    """The caches of a rank's own layers, and what a model's loop sees of all."""

    def __init__(self, model: Any, own: range, *, is_given_out: bool) -> None:
        make: Callable[[Any], list[Any]] | None = getattr(type(model), "make_cache", None)
        self._all = make_prompt_cache(model)
        self._make = (lambda: make(model)) if make is not None else None
        self._own, self._is_given_out = own, is_given_out

    def made(self) -> list[Any]:
        """Empty ones, as the family makes them."""
        fresh = self._make() if self._make is not None else [type(cache)() for cache in self._all]
        if self._is_given_out and len(fresh) == len(self._own):
            return list(fresh)  # a family whose inner model makes them, of the layers that it has
        return [fresh[number] for number in self._own]

    def called(self, call: Callable[..., Any], inputs: mx.array, cache: Any = None, **kwargs: Any) -> Any:
        """The model, over the caches of its own layers. Where its loop has layers of other ranks, these are given
        caches of their kind, so that masks are made of them as ever; let through, they do nothing with them."""
        if cache is not None and not self._is_given_out:
            like = {
                _kind(self._all[number]): one for number, one in zip(reversed(self._own), reversed(cache), strict=True)
            }
            others = [like.get(_kind(one)) for one in self._all]
            cache = [cache[at - self._own.start] if at in self._own else one for at, one in enumerate(others)]
        return call(inputs, cache=cache, **kwargs)


def _kind(cache: Any) -> tuple[Any, ...]:
    return type(cache), *(getattr(cache, name, None) for name in ("max_size", "keep", "chunk_size"))
