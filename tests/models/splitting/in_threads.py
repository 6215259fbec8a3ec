"""The ranks of a split model as threads of one process: what goes between machines goes from hand to hand."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, Queue
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.models.splitting.dividing import divide
from mlx_spec.models.splitting.links import Links
from mlx_spec.models.splitting.split import Split

_PATIENCE_S = 20


class Hands:
    """What the ranks of a group share."""

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        self.barrier = threading.Barrier(ranks, timeout=_PATIENCE_S)
        self.held: list[Any] = [None] * ranks
        self.ways: dict[tuple[int, int], Queue[mx.array]] = {
            (one, other): Queue() for one in range(ranks) for other in range(ranks)
        }


class HandLinks(Links):
    """A rank's links to the others; only what is computed changes hands."""

    def __init__(self, hands: Hands, rank: int) -> None:
        super().__init__(None, rank, hands.ranks)
        self._hands = hands

    def gathered(self, x: mx.array) -> mx.array:
        if self._told is not None:
            return super().gathered(x)
        mx.eval(x)
        self._hands.held[self.rank()] = x
        self._hands.barrier.wait()
        parts = list(self._hands.held)
        self._hands.barrier.wait()
        return mx.stack(parts)

    def summed(self, x: mx.array) -> mx.array:
        return self.added(x) if self._told is None else super().summed(x)

    def sent(self, x: mx.array, to: int) -> mx.array:
        if self._told is None:
            mx.eval(x)
            self._hands.ways[self.rank(), to].put(x)
        return super().sent(x, to)

    def received(self, shape: tuple[int, ...], dtype: mx.Dtype, source: int) -> mx.array:
        if self._told is not None:
            return super().received(shape, dtype, source)
        came = self._hands.ways[source, self.rank()].get(timeout=_PATIENCE_S)
        assert (came.shape, came.dtype) == (tuple(shape), dtype)
        return came


def on_all_ranks(make: Callable[[], nn.Module], split: Split, passes: Sequence[Sequence[int]]) -> list[mx.array]:
    """Rank 0's logits `[n, vocab]` of passes over these tokens, one behind the other."""
    models = [make() for _ in range(split.ranks)]
    hands = Hands(split.ranks)

    def run(rank: int) -> list[mx.array]:
        try:
            divide(models[rank], split, HandLinks(hands, rank), "it")
            return logits_of(models[rank], passes)
        except BaseException:
            hands.barrier.abort()
            raise
        finally:
            mx.clear_streams()

    with ThreadPoolExecutor(split.ranks) as pool:
        running = [pool.submit(run, rank) for rank in range(split.ranks)]
        failures = [one.exception() for one in running]
        for failure in failures:  # those that only waited for another say nothing
            if failure is not None and not isinstance(failure, Empty | threading.BrokenBarrierError):
                raise failure
        return running[0].result()


def logits_of(model: nn.Module, passes: Sequence[Sequence[int]]) -> list[mx.array]:
    """Of passes over these tokens."""
    caches, found = make_prompt_cache(model), []
    for token_ids in passes:
        found.append(model(mx.array([token_ids]), cache=caches)[0])
        mx.eval(found[-1], [cache.state for cache in caches if cache is not None and hasattr(cache, "state")])
    return found
