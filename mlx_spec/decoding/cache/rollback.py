"""Exact rollback: after it, a rejected token has left no trace in the cache, not an overwritten slot, not a state.

One policy per cache kind, chosen by exact type: a subclass may overwrite what its parent only appends. An unknown kind
is an error that names it, never a guess.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import mlx.core as mx
from mlx_lm.models.cache import (
    ArraysCache,
    CacheList,
    ChunkedKVCache,
    ConcatenateKVCache,
    KVCache,
    QuantizedKVCache,
    RotatingKVCache,
    _BaseCache,
)

from mlx_spec.decoding.cache.kinds.append_only import AppendOnly, Concatenated
from mlx_spec.decoding.cache.kinds.chunked import Chunked
from mlx_spec.decoding.cache.kinds.in_blocks import InBlocks
from mlx_spec.decoding.cache.kinds.policy import CachePolicy, PartPolicy, TreePolicy
from mlx_spec.decoding.cache.kinds.recurrent import Recurrent
from mlx_spec.decoding.cache.kinds.ring import Ring
from mlx_spec.decoding.cache.passes.paged import BlockCache
from mlx_spec.errors import UnsupportedModelError
from mlx_spec.machine.kernels.compact import compact

POLICIES: Final[dict[type, type[CachePolicy]]] = {
    KVCache: AppendOnly,
    QuantizedKVCache: AppendOnly,
    ConcatenateKVCache: Concatenated,
    ChunkedKVCache: Chunked,
    RotatingKVCache: Ring,
    ArraysCache: Recurrent,
    BlockCache: InBlocks,
}
"""How each kind of mlx-lm's caches, and our own, is rolled back."""

# A model file's own kind, by name: importing the file would load that model's code for every user.
_POLICIES_BY_NAME: Final[dict[tuple[str, str], type[CachePolicy]]] = {
    ("mlx_lm.models.deepseek_v41", "LayerCache"): Recurrent,
}


def leaves(caches: Sequence[Any]) -> Iterator[Any]:
    """The caches that hold something, in order: those in a CacheList one by one, without the placeholders."""
    for cache in caches:
        if type(cache) is CacheList:
            yield from leaves(cache.caches)
        elif cache is not None and type(cache) is not _BaseCache:
            yield cache


def check_rollback(caches: Sequence[Any], name: str) -> None:
    """Raise UnsupportedModelError, naming the kind, if any layer's cache cannot be rolled back exactly."""
    for cache in leaves(caches):
        policy_of(cache, name)


def kind_of(cache: Any) -> type[CachePolicy] | None:
    """The same, not made yet; None where it is not known."""
    kind = type(cache)
    return POLICIES.get(kind) or _POLICIES_BY_NAME.get((kind.__module__, kind.__name__))


def policy_of(cache: Any, name: str) -> CachePolicy:
    """How one layer's cache is rolled back; UnsupportedModelError, naming the model, where that is not known."""
    policy = kind_of(cache)
    if policy is None:
        raise UnsupportedModelError(
            f"{name} uses a {type(cache).__name__}, which this version cannot roll back exactly: "
            "decode it without a draft (drafter none)."
        )
    return policy(cache)  # type: ignore[call-arg]


@dataclass(frozen=True, slots=True)
class _Pass:
    """A forward pass that may be taken back, all or in part: its newest `forgettable` tokens."""

    token_ids: mx.array
    forgettable: int
    marks: list[Any]


class Rollback:
    """The passes since the last `forget`, and what each layer needs to take them back.

    Lazy throughout: it counts tokens by shapes and never reads one.
    """

    held_in: ClassVar = ("_passes",)

    def __init__(self, caches: Sequence[Any], name: str) -> None:
        policies = [policy_of(cache, name) for cache in leaves(caches)]
        self._marking = [policy for policy in policies if policy.marks]
        self._others = [policy for policy in policies if not policy.marks]
        self._parting = [policy for policy in policies if isinstance(policy, PartPolicy)]
        self._replays = len(self._parting) < len(policies)
        self._passes: list[_Pass] = []
        self.is_free: bool = all(type(policy) in (AppendOnly, InBlocks) for policy in policies)
        """Whether to forget tokens costs nothing: nothing is copied, kept or fed again for it."""

    def begin(self, token_ids: mx.array, kept: int) -> None:
        """Told before a pass over `token_ids` `[n]`, whose first `kept` tokens will never be forgotten."""
        count = token_ids.shape[0]
        if kept:
            self._passes.clear()  # nor will anything before them
        if kept < count:
            # With a token that stays, the pass is never taken back whole, but where the state has to be replayed.
            whole = kept == 0 or self._replays
            marks = [policy.mark(count) for policy in self._marking] if whole else []
            self._passes.append(_Pass(token_ids, count - kept, marks))

    def forget(self, count: int) -> mx.array | None:
        """Forget the newest `count` tokens; what is older can no longer be forgotten.

        Returns tokens that should have stayed, but had to leave too: they are to be fed again before any other. Raises
        ValueError, and forgets nothing, when that many tokens cannot be forgotten.
        """
        forgettable = sum(newest.forgettable for newest in self._passes)
        if count > forgettable:
            raise ValueError(f"cannot forget {count} tokens: {forgettable} were scored since the last commit")
        behind = None
        while count > 0:
            newest = self._passes.pop()
            length = newest.token_ids.shape[0]
            if count < length and not self._replays:
                for policy in self._parting:
                    policy.drop(count)
            else:
                self._take_back(newest)
                behind = newest.token_ids[: length - count] if count < length else None
            count -= length
        self._passes.clear()
        return behind

    def choose(self, indices: Sequence[int]) -> mx.array | None:
        """Of the tokens that can be forgotten keep those at `indices` (ascending), forget the others. As `forget`."""
        forgettable = sum(newest.forgettable for newest in self._passes)
        if list(indices) == list(range(len(indices))):
            return self.forget(forgettable - len(indices))
        holding = [self._of_trees(policy) for policy in (*self._marking, *self._others)]
        arrays: list[list[mx.array]] = []
        alike: dict[int, list[int]] = defaultdict(list)
        for number, policy in enumerate(holding):
            found, begin = policy.tree(forgettable)
            arrays.append(found)
            alike[begin].append(number)
        for begin, numbers in alike.items():
            moved = iter(compact([array for number in numbers for array in arrays[number]], begin, indices))
            for number in numbers:
                holding[number].keep([next(moved) for _ in arrays[number]], forgettable, len(indices))
        self._passes.clear()
        return None

    @staticmethod
    def _of_trees(policy: CachePolicy) -> TreePolicy:
        if not isinstance(policy, TreePolicy):
            raise ValueError(f"{type(policy).__name__} keeps what it has in order: it cannot choose from a tree")
        return policy

    def _take_back(self, newest: _Pass) -> None:
        length = newest.token_ids.shape[0]
        for policy, mark in zip(self._marking, newest.marks, strict=True):
            policy.take_back(mark, length)
        for policy in self._others:
            policy.take_back(None, length)
