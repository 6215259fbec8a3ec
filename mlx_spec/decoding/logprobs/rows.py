"""A row's log-probabilities: of the token that follows, and of the likeliest.

Of the target's own distribution: its logits as they are, before biases, penalties, masks, temperature and filters.
On the host and a row at a time, so that a row has the same bits whatever rows were beside it, on every backend.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from mlx_spec.errors import NumericalError


@dataclass(frozen=True, slots=True)
class RowLogprobs:
    """A token, the logarithm of its probability, and the likeliest in its place with theirs, the likeliest first."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...]


def row_logprobs(logits: mx.array, token_ids: Sequence[int], count: int) -> list[RowLogprobs]:
    """What each of `token_ids` `[n]` had in its row of `logits` `[n, vocab]`, beside the `count` likeliest of the row.

    log softmax in float32. Waits for the device. Raises NumericalError where a row holds what is no number.
    """
    rows = np.asarray(logits.astype(mx.float32))
    return [_logprobs(row, token_id, count) for row, token_id in zip(rows, token_ids, strict=True)]


def _logprobs(row: np.ndarray, token_id: int, count: int) -> RowLogprobs:
    shifted = row - row.max()
    normaliser = np.log(np.exp(shifted).sum())
    if not np.isfinite(normaliser):
        raise NumericalError(
            "The target model produced logits that are not numbers (NaN): its weights are damaged or its precision is "
            "too low; import or download the model again."
        )
    top = tuple((int(one), float(shifted[one] - normaliser)) for one in _likeliest(shifted, count))
    return RowLogprobs(token_id, float(shifted[token_id] - normaliser), top)


def _likeliest(row: np.ndarray, count: int) -> np.ndarray:
    """The `count` best of a row, the best first, and the lower id of two that are equal."""
    if count < 2:
        return np.array([row.argmax()] if count else [], dtype=np.int64)  # the first of several, and no sorting
    count = min(count, len(row))
    least = np.partition(row, len(row) - count)[len(row) - count]
    found = np.flatnonzero(row >= least)
    return found[np.argsort(-row[found], kind="stable")][:count]
