"""A leader and its follower in one process, each with a whole model of the same weights, and a list between them."""

import json
from collections import deque
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten

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
        self._leaders: dict[int, ToldModel] = {}
        lead(self.target, self._tell)
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

    def check(self, *models: ToldModel) -> None:
        """Raise AssertionError unless the follower's caches hold what the leader's do, bit for bit."""
        for model in models:
            model._teller.send()
        self.catch_up()
        for model in models:
            ours, theirs = model.caches, self.follower.models[model.number.value].caches
            for one, other in zip(leaves(ours), leaves(theirs), strict=True):
                same(one, other)


def same(one: Any, other: Any) -> None:
    """Raise AssertionError unless two caches of one layer hold the same."""
    assert type(one) is type(other)
    held, found = (dict(tree_flatten(_seen(cache))) for cache in (one, other))
    assert held.keys() == found.keys()
    for name, value in held.items():
        if isinstance(value, mx.array):
            np.testing.assert_array_equal(np.array(value), np.array(found[name]), err_msg=f"{type(one)} {name}")
        else:
            assert value == found[name], f"{type(one)} {name}"


def _seen(cache: Any) -> dict[str, Any]:
    """What a cache holds, of arrays with room for more what was written."""
    held = {name: value for name, value in vars(cache).items() if name != "make_mask"}
    if hasattr(cache, "step") and held.get("keys") is not None and "_idx" not in held:
        for name in ("keys", "values"):
            arrays = held[name] if isinstance(held[name], tuple | list) else [held[name]]
            held[name] = [array[:, :, : cache.offset] for array in arrays]
    return held
