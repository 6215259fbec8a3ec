"""The likeliest tokens of a row, for people to look at. Nothing of it is computed unless somebody asked."""

from dataclasses import dataclass
from typing import cast

import mlx.core as mx

from mlx_spec.config import ALTERNATIVES_LIMIT

Tops = tuple[tuple[tuple[int, float], ...], ...]
"""For each row its likeliest tokens and their probabilities, the likeliest first."""


@dataclass(frozen=True, slots=True)
class LazyTops:
    """The likeliest tokens of several rows while the device has yet to find them: both arrays are `[n, count]`."""

    token_ids: mx.array
    probabilities: mx.array

    @property
    def arrays(self) -> list[mx.array]:
        """What to evaluate together with the rest of the round."""
        return [self.token_ids, self.probabilities]

    def read(self) -> Tops:
        """Once evaluated: the values. Tokens that a filter left without probability are no alternatives."""
        ids = cast(list[list[int]], self.token_ids.tolist())
        probabilities = cast(list[list[float]], self.probabilities.tolist())
        rows = (zip(*row, strict=True) for row in zip(ids, probabilities, strict=True))
        return tuple(tuple((token_id, p) for token_id, p in row if p > 0.0) for row in rows)


def likeliest(rows: mx.array, normaliser: mx.array, count: int) -> LazyTops:
    """The `count` likeliest tokens of each row of scores `[n, vocab]`, lazily; `normaliser` `[n]` is theirs."""
    token_ids = favourites(rows, min(count, ALTERNATIVES_LIMIT, rows.shape[-1]))
    chosen = mx.take_along_axis(rows, token_ids, axis=-1)
    return LazyTops(token_ids, mx.exp(chosen - normaliser[:, None]))


def favourites(rows: mx.array, count: int) -> mx.array:
    """The `count` best tokens `[n, count]` (int32) of each row `[n, vocab]`, the best first."""
    # One maximum after the other: a partition sorts the vocabulary, and takes three times as long for three of them.
    found, left = [], rows
    for place in range(count):
        best = mx.argmax(left, axis=-1, keepdims=True)
        found.append(best)
        if place + 1 < count:
            left = mx.put_along_axis(left, best, mx.array(-mx.inf, dtype=rows.dtype), axis=-1)
    return mx.concatenate(found, axis=-1).astype(mx.int32)
