"""Caches cut up into stretches of tokens, and put together of such: what blocks hold of a text.

Of a window or a recurrent state no stretch can be had: of these a `Snapshot` is taken at points on the way.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import Any, Final

import mlx.core as mx

from mlx_spec.decoding.cache.kinds.policy import StretchPolicy
from mlx_spec.decoding.cache.passes.forward import run
from mlx_spec.decoding.cache.passes.slots import empty
from mlx_spec.decoding.cache.rollback import kind_of, leaves, policy_of
from mlx_spec.models.splitting.order import traced

Stretch = tuple[mx.array, ...]
"""Of a stretch of tokens, what all caches hold: `[batch, heads, tokens, width]` each, in the caches' order."""
Span = tuple[int, int]
"""From which token on, and up to which."""


def in_stretches(cache: Any) -> bool:
    """Whether any stretch of its tokens can be had of one layer's cache."""
    return hasattr(kind_of(cache), "hold")


def split_leaves(caches: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Those that can be had in stretches, and the others, of which only snapshots can."""
    every = list(leaves(caches))
    return [cache for cache in every if in_stretches(cache)], [cache for cache in every if not in_stretches(cache)]


def cut_up(caches: Iterable[Any], spans: Sequence[Span], *, goes_on: bool = False) -> list[Stretch]:
    """What the caches hold of each of `spans`, copied; unless the text `goes_on`, they hold nothing afterwards. Cache
    after cache, so that at no time there are two copies of more than one."""
    parts: list[list[mx.array]] = [[] for _ in spans]
    for cache in caches:
        policy = _policy(cache)
        arrays = policy.arrays()
        for part, (begin, end) in zip(parts, spans, strict=True):
            assert not arrays or arrays[0].shape[2] >= end, "it has not read that far"
            part += [_copied(array[:, :, begin:end]) for array in arrays]
        mx.eval(parts)
        del arrays
        if not goes_on:
            policy.clear()
    return [tuple(part) for part in parts]


def put_together(caches: Iterable[Any], parts: Sequence[Stretch], *, reads_on: bool = False) -> None:
    """Have new caches hold what `parts` are of, one behind the other, with room for more where it `reads_on`; lazily.
    All is copied once, on a CPU beside the first layers of the pass that wants it, where it is much."""
    pieces = list(zip(*parts, strict=True))
    for cache in caches:
        policy = _policy(cache)
        own, pieces = pieces[: policy.num_arrays], pieces[policy.num_arrays :]
        length = sum(piece.shape[2] for piece in own[0])
        room = policy.room(length, reads_on=reads_on)
        behind = [(empty(every[0], room),) if room else () for every in own]
        each = zip(own, behind, strict=True)
        stream = _beside() if sum(piece.nbytes for piece in own[0]) >= _LEAST_BESIDE else None
        arrays = [mx.concatenate([*every, *zeros], axis=2, stream=stream) for every, zeros in each]
        policy.hold(arrays, length)


_LEAST_BESIDE: Final = 1 << 18
"""Bytes of one array from which on it is copied beside: the threads wait for each other at every one, which for eight
short prompts took a fifth of reading them."""


class _Kept(threading.local):
    """Of a thread: streams belong to the thread that made them."""

    stream: mx.Stream | None = None


_KEPT: Final = _Kept()


def _beside() -> mx.Stream | None:
    """Where a CPU copies while it computes, which leaves a core idle now and then; None for the default stream."""
    if mx.default_device() != mx.Device(mx.cpu):
        return None
    if _KEPT.stream is None:
        _KEPT.stream = mx.new_stream(mx.Device(mx.cpu))
    return _KEPT.stream


def token_bytes(model: Any, caches: Sequence[Any]) -> int:
    """What a model's caches, new ones, come to hold for each token, as far as it is to be had in stretches. Computes
    nothing."""
    with traced(model):  # as it is never computed, the others need not know of it
        run(model, mx.zeros((1,), dtype=mx.int32), caches, None)
    arrays = [array for cache in split_leaves(caches)[0] for array in _policy(cache).arrays()]
    return sum(array.nbytes // array.shape[2] for array in arrays)


def _policy(cache: Any) -> StretchPolicy:
    policy = policy_of(cache, "a model that was read before")
    assert isinstance(policy, StretchPolicy), f"{type(policy).__name__} is not to be had in stretches"
    return policy


def _copied(array: mx.array) -> mx.array:
    # A slice of all is the array itself, which the cache's owner may still write.
    return mx.contiguous(array) if array.size else array
