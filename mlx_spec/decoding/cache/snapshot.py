"""What the caches of a model hold of a text, to be held again by the caches of a later answer.

Arrays are shared, not copied: whoever writes into one that is shared gets a copy of it first, by MLX's own rule that
memory is written in place only where nobody else holds it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

# What stands in a cache's place, and not in its state.
_NOT_STATE = "make_mask"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The caches of one model behind a text of `length` tokens, as attributes by name, a cache each."""

    length: int
    caches: tuple[dict[str, Any], ...]

    @property
    def arrays(self) -> list[mx.array]:
        """All arrays, some of which other snapshots may share."""
        return [array for _, array in tree_flatten(list(self.caches)) if isinstance(array, mx.array)]


def snapshot_of(caches: Sequence[Any], length: int) -> Snapshot:
    """The state of `caches` (leaves: see `leaves`), which hold a text of `length` tokens, and maybe more behind it."""
    return Snapshot(length, tuple(_shared(vars(cache)) for cache in caches))


def restore(snapshot: Snapshot, caches: Sequence[Any]) -> None:
    """Have `caches`, new and of the same kinds, hold what the snapshot tells."""
    for cache, state in zip(caches, snapshot.caches, strict=True):
        vars(cache).update(_shared(state))


def _shared(state: dict[str, Any]) -> dict[str, Any]:
    """The same arrays in other objects: `cache.keys[...] = new` changes the object that stands in a cache."""
    return {name: _other(value) for name, value in state.items() if name != _NOT_STATE}


def _other(value: Any) -> Any:
    if isinstance(value, mx.array):
        return mx.array(value)
    if isinstance(value, list | tuple):
        return type(value)(_other(one) for one in value)
    if isinstance(value, dict):
        return {key: _other(one) for key, one in value.items()}
    return value
