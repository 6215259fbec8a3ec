"""Layers whose every product is the one that a single machine computes, over however many ranks.

mlx-lm cuts a layer that follows a divided one along its inputs, and adds up what the ranks have: other bits than one
machine's. Here the inputs are put together first, each rank computes its share of the *outputs* over all of them, and
these are put together. That is two collectives for one, and about as many bytes.
"""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.nn.layers.distributed import shard_inplace

from mlx_spec.models.splitting.links import Links


class StrictLinear(nn.Module):  # type: ignore[misc]
    """A layer with divided inputs `[..., n / ranks]`; its weights are this rank's rows of it, over all inputs.

    Its outputs are whole, `[..., m]`, unless they stay `divided`, `[..., m / ranks]`: what a family weighs and adds up
    of its experts it does for each feature by itself, and then asks for the sum over all ranks.
    """

    def __init__(self, layer: nn.Module, links: Links, *, divided: bool = False) -> None:
        super().__init__()
        # What a family divides by the number of ranks where all of them add it. Here each adds what is its own.
        self.bias = mx.zeros(())
        shard_inplace(layer, "all-to-sharded", group=links)
        self.own = layer
        self._links, self._divided = links, divided

    def __call__(self, x: mx.array, *args: Any, **kwargs: Any) -> mx.array:
        """As the layer's own."""
        share: mx.array = self.own(self._links.side_by_side(x), *args, **kwargs)
        return share if self._divided else self._links.side_by_side(share)

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        if "own" not in self:
            raise AttributeError(name)
        return getattr(self["own"], name)


class DividedNorm(nn.Module):  # type: ignore[misc]
    """An RMS norm over what is divided, `[..., n / ranks]`. Where it is strict, it is put together first: so each rank
    has one machine's bits. (A family's own is compiled with its collective, which then goes past whoever counts.)"""

    def __init__(self, norm: Any, links: Links, sums: "Sums", *, strict: bool) -> None:
        super().__init__()
        self._links, self._sums, self._strict = links, sums, strict
        self._width = int(norm.weight.shape[-1]) // links.size()
        if strict:
            self.norm = norm
        else:
            self.weight, self.eps = norm.weight[self._begin : self._begin + self._width], norm.eps

    @property
    def _begin(self) -> int:
        return self._links.rank() * self._width

    def __call__(self, x: mx.array) -> mx.array:
        """The same part of the norm of all."""
        if self._strict:
            whole: mx.array = self.norm(self._links.side_by_side(x))
            return whole[..., self._begin : self._begin + self._width]
        wide = x.astype(mx.float32)
        squares = self._sums.all_sum(wide.square().sum(-1, keepdims=True))
        scaled = wide * mx.rsqrt(squares / (self._width * self._links.size()) + self.eps)
        result: mx.array = (scaled * self.weight).astype(x.dtype)
        return result


class Sums:
    """What stands for a group where a family asks for a sum over its ranks."""

    def __init__(self, links: Links, *, strict: bool) -> None:
        self._links, self._strict = links, strict
        self.shares: set[int] = set()
        """Widths of outputs that stay divided, so that there is nothing to add: they are put together."""
        self.adds = False
        """Whether something was added after all: in the order of ranks, which is not the order of one machine."""

    def rank(self) -> int:
        """As a group's."""
        return self._links.rank()

    def size(self) -> int:
        """As a group's."""
        return self._links.size()

    def all_sum(self, x: mx.array) -> mx.array:
        """What a family calls `mx.distributed.all_sum` for."""
        if not self._strict:
            return self._links.summed(x)
        if x.shape[-1] in self.shares:
            return self._links.side_by_side(x)
        self.adds = True
        return self._links.added(x)
