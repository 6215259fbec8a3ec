"""A model with a part of every layer on each rank, by mlx-lm's own `shard()`."""

import copy
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn
from mlx.nn.layers import distributed as layers
from mlx.nn.layers.distributed import shard_inplace

from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.places import Place, places, put
from mlx_spec.models.splitting.strict import StrictLinear, Sums

_FAMILIES: Final = "mlx_lm.models."


def shard(model: Any, links: Links, *, strict: bool) -> Sums:
    """Have `model` keep this rank's part of each layer, lazily. Raises HeadsError; what mlx-lm raises comes through."""
    sums = Sums(links, strict=strict)
    cut = _Cut(model, links, sums) if strict else None
    counts = [
        (module, key, value) for module in model.modules() for key, value in vars(module).items() if type(value) is int
    ]
    with _stood_in(cut):
        model.shard(sums)
    for module, key, value in counts:
        # Most families divide without a look at what is left.
        if value % links.size() and vars(module).get(key) == value // links.size():
            raise HeadsError(f"{links.size()} does not divide its {value} {_spelled(key)}")
    return sums


class HeadsError(Exception):
    """What mlx-lm gives each rank a part of does not divide; says what, as the end of a sentence."""


def _spelled(key: str) -> str:
    words = key.removeprefix("num_").removeprefix("n_").replace("key_value", "kv")
    return words.replace("kv_heads", "key and value heads").replace("_", " ")


class _Cut:
    """What stands in for MLX's two functions that cut a layer, where nothing may be added up."""

    def __init__(self, model: nn.Module, links: Links, sums: Sums) -> None:
        self._links, self._sums = links, sums
        self._places: dict[int, Place] = {id(module): place for place, module in places(model)}

    def linear(self, module: nn.Module, sharding: Any, *, segments: Any = 1, group: Any = None) -> nn.Module:
        """As `shard_linear`."""
        if sharding == "sharded-to-all":
            return StrictLinear(module, self._links)
        # As MLX's own class does, but it stays of the class that it was: kernels and passes know that.
        share = copy.copy(module)
        shard_inplace(share, sharding, segments=segments, group=self._links)
        return share

    def in_place(self, module: nn.Module, sharding: Any, *, segments: Any = 1, group: Any = None) -> None:
        """As `shard_inplace`."""
        if sharding != "sharded-to-all":
            shard_inplace(module, sharding, segments=segments, group=self._links)
            return
        stand_in = StrictLinear(module, self._links, divided=True)
        self._sums.shares.add(stand_in.own.weight.shape[-2])
        put(self._places[id(module)], stand_in)


@contextmanager
def _stood_in(cut: _Cut | None) -> Iterator[None]:
    """Families cut by `cut` inside; from then on they ask our own groups for their sums."""
    replaced: list[tuple[Any, str, Any]] = []
    layers.mx = _ROUTED
    for name, module in list(sys.modules.items()):
        if name.startswith(_FAMILIES):
            if getattr(module, "mx", None) is mx:
                module.mx = _ROUTED  # type: ignore[attr-defined]
            for function, ours in (("shard_linear", "linear"), ("shard_inplace", "in_place")):
                if cut is not None and hasattr(module, function):
                    replaced.append((module, function, getattr(module, function)))
                    setattr(module, function, getattr(cut, ours))
    try:
        yield
    finally:
        for module, name, function in replaced:
            setattr(module, name, function)


def _routed() -> types.ModuleType:
    """`mlx.core` for families and MLX's own divided layers: their sums over a group of ours are asked of it."""
    core, distributed = types.ModuleType("mlx.core"), types.ModuleType("mlx.core.distributed")
    core.__dict__.update(mx.__dict__)
    distributed.__dict__.update(mx.distributed.__dict__)

    def all_sum(x: mx.array, *, group: Any = None, stream: Any = None) -> mx.array:
        return group.all_sum(x) if isinstance(group, Sums) else mx.distributed.all_sum(x, group=group, stream=stream)

    distributed.all_sum = all_sum  # type: ignore[attr-defined]
    core.distributed = distributed  # type: ignore[attr-defined]
    return core


_ROUTED: Final = _routed()
