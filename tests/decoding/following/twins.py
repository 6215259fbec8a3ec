"""A leader and its follower in one process, each with a whole model of the same weights, and a list between them."""

import json
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from mlx_spec.decoding.cache import cached_model
from mlx_spec.decoding.cache.rollback import leaves
from mlx_spec.decoding.following.leading import ToldModel, lead
from mlx_spec.decoding.following.repeating import Follower


class Twins:
    """What is told is JSON, as on its way between machines; the follower does it when it is asked to `catch_up`."""

    def __init__(self, made: Callable[[], nn.Module]) -> None:
        self.target = made()
        self._theirs = made()
        self._line: deque[str] = deque()
        self.messages = 0
        self._told: list[dict[str, Any]] = []
        self._teller = lead(self.target, self._tell)
        self._living: weakref.WeakSet[ToldModel] = weakref.WeakSet()
        making = cached_model._KINDS[id(self.target)]
        cached_model.made_by(self.target, lambda *given, **how: self._seen(making(*given, **how)))
        self.follower = Follower(self._theirs, "zoo", self._hear)

    def _tell(self, message: dict[str, Any]) -> None:
        self.messages += 1
        self._line.append(json.dumps(message))

    def _hear(self) -> dict[str, Any] | None:
        if not self._line:
            return None
        message: dict[str, Any] = json.loads(self._line.popleft())
        self._told += message["do"]
        return message

    def told(self, op: str) -> list[dict[str, Any]]:
        """All operations of this name that the follower has heard."""
        return [one for one in self._told if one["op"] == op]

    def catch_up(self) -> None:
        """Have the follower do all that was told."""
        while self.follower.go_on():
            pass

    def _seen(self, model: Any) -> Any:
        self._living.add(model)
        return model

    def check(self) -> None:
        """Raise AssertionError unless the follower has the models that the leader has, and each holds, bit for bit,
        what the leader's holds."""
        living = {model.number.value: model for model in self._living}
        self._teller.send()
        self.catch_up()
        assert self.follower.models.keys() == living.keys()
        for number, model in living.items():
            theirs = self.follower.models[number]
            assert (number in self.follower.swapped) == is_swapped(model)
            if number not in self.follower.swapped:
                for one, other in zip(leaves(model.caches), leaves(theirs.caches), strict=True):
                    same(one, other)


def is_swapped(model: ToldModel) -> bool:
    """Whether its arrays are somewhere else."""
    held = [value for _, value in tree_flatten([_seen(cache) for cache in leaves(model.caches)])]
    return any(type(value).__name__ == "_Bytes" for value in held)


def same(one: Any, other: Any) -> None:
    """Raise AssertionError unless two caches of one layer hold the same."""
    assert type(one) is type(other)
    held, found = (dict(tree_flatten(_seen(cache))) for cache in (one, other))
    assert held.keys() == found.keys()
    for name, value in held.items():
        if isinstance(value, mx.array):
            assert mx.array_equal(value, found[name]).item(), f"{type(one)} {name}"
        else:
            assert value == found[name], f"{type(one)} {name}"


def _seen(cache: Any) -> dict[str, Any]:
    """What a cache holds, of arrays with room for more what was written."""
    held = {name: value for name, value in vars(cache).items() if name != "make_mask"}
    if hasattr(cache, "step") and _first_array(held.get("keys")) is not None and "_idx" not in held:
        for name in ("keys", "values"):
            arrays = held[name] if isinstance(held[name], tuple | list) else [held[name]]
            held[name] = [array[:, :, : cache.offset] for array in arrays]
    return held


def _first_array(held: Any) -> mx.array | None:
    first = held[0] if isinstance(held, tuple | list) else held
    return first if isinstance(first, mx.array) else None
