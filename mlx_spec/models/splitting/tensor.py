"""A model with a part of every layer on each rank, by mlx-lm's own `shard()`."""

import copy
import sys
import threading
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
from mlx_spec.models.splitting.strict import DividedNorm, StrictLinear, Sums

_FAMILIES: Final = "mlx_lm.models."
_ALONE: Final = threading.Lock()  # what stands in for a family's functions does so in all threads


def shard(model: Any, links: Links, *, strict: bool) -> Sums:
    """Have `model` keep this rank's part of each layer, lazily. Raises HeadsError; what mlx-lm raises comes through."""
    sums = Sums(links, strict=strict)
    cut = _Cut(model, links, sums, strict=strict)
    counts = [
        (module, key, value) for module in model.modules() for key, value in vars(module).items() if type(value) is int
    ]
    with _ALONE, _stood_in(model, cut):
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
    """What stands in for MLX's functions that cut a layer, and for a family's own, while a model is divided."""

    def __init__(self, model: nn.Module, links: Links, sums: Sums, *, strict: bool) -> None:
        self._links, self._sums, self._strict = links, sums, strict
        self._places: dict[int, Place] = {id(module): place for place, module in places(model)}

    def stand_ins(self) -> dict[str, Any]:
        """By the name that families call them by. In a fast split layers are cut as mlx-lm does it."""
        norms = types.SimpleNamespace(from_rms_norm=self.norm)
        return {
            "ShardedRMSNorm": norms,
            **({"shard_linear": self.linear, "shard_inplace": self.in_place} if self._strict else {}),
        }

    def norm(self, norm: nn.Module, *, group: Any = None) -> nn.Module:
        """As the one of mlx-lm's minimax."""
        return DividedNorm(norm, self._links, self._sums, strict=self._strict)

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
def _stood_in(model: nn.Module, cut: _Cut) -> Iterator[None]:
    """The model's family cut by `cut` inside; from then on it asks our own groups for its sums."""
    names = {type(module).__module__ for module in model.modules()}
    families = [sys.modules[name] for name in names if name.startswith(_FAMILIES)]
    replaced: list[tuple[Any, str, Any]] = []
    for module in (layers, *families):
        if getattr(module, "mx", None) is mx:
            setattr(module, "mx", _ROUTED)  # noqa: B010 - a module has no such name to a type checker
    for module in families:
        for name, stand_in in cut.stand_ins().items():
            if hasattr(module, name):
                replaced.append((module, name, getattr(module, name)))
                setattr(module, name, stand_in)
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
