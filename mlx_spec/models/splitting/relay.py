"""How a pass goes from rank to rank in a pipeline, and with it the states that somebody on rank 0 listens to."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mlx.core as mx

from mlx_spec.models.splitting.flow import Flow
from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.ties import tie


class Relay:
    """A rank's place in a pipeline: its `own` layers, between those of `rank + 1` and of `rank - 1`."""

    def __init__(self, links: Links, flow: Flow, own: range) -> None:
        self._links, self._flow, self.own = links, flow, own
        self.begin: Callable[[mx.array], mx.array] | None = None
        """On rank 0, where it looks up tokens `[1, n]` for the rank with the first layers: what sends their states."""
        self._wanted: tuple[int, ...] = ()
        self._heard: dict[int, mx.array] = {}

    def receiving(self, call: Callable[..., Any], h: mx.array, *args: Any, **kwargs: Any) -> Any:
        """The first of its own layers, over what the rank before sends instead of `h`."""
        before = [layer for layer in self._wanted if layer < self.own.start]
        width = h.shape[-1]
        shape = (*h.shape[:-1], width * (1 + len(before)))
        came = self._links.received(shape, self._flow.dtype, self._links.rank() + 1)
        if before:
            came, *states = mx.split(came, 1 + len(before), axis=-1)
            self._heard.update(zip(before, states, strict=True))
        return call(came, *args, **kwargs)

    def sending(self, call: Callable[..., Any], h: mx.array, *args: Any, **kwargs: Any) -> Any:
        """The last of its own layers, whose result the rank behind is sent."""
        result = call(h, *args, **kwargs)
        states = [self._heard.get(layer, result) for layer in self._wanted if layer < self.own.stop]
        parcel = mx.concatenate([result, *states], axis=-1) if states else result
        sent = self._links.sent(parcel.astype(self._flow.dtype), self._links.rank() - 1)
        for value in (*args, *kwargs.values()):
            tie(value, sent)
        passed = sent[..., : result.shape[-1]]
        for layer in self._wanted:
            self._heard.setdefault(layer, passed)  # who asks here gets as many as on rank 0
        return passed

    @contextmanager
    def carrying(self, layers: Sequence[int], heard: dict[int, mx.array]) -> Iterator[None]:
        """Passes that are built inside bring rank 0 the states of `layers`, each once, in ascending order; `heard` has
        them there, and elsewhere those that came by, and something in the places of others."""
        self._wanted, self._heard = tuple(sorted({layer for layer in layers if layer >= 0})), heard
        try:
            yield
        finally:
            self._wanted, self._heard = (), {}
