"""Corpus samples as padded batches of NumPy arrays, the same for both trainers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from mlx_spec.training.answers.corpus import Sample

Item = TypeVar("Item")
POOL: Final = 512
"""Dialogues that are dealt into batches of similar length together."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Dialogues of similar length: ids `[rows, length]`, padded behind their end.

    `positions` `[n]` are flat indices into rows x length: having read that one the target was in state `hidden[i]`
    (`[n, hidden]`, bfloat16 bits) and wrote an answer id. Padding stands behind everything, so causal attention never
    sees it.
    """

    ids: NDArray[np.int32]
    positions: NDArray[np.int64]
    hidden: NDArray[np.uint16]

    @property
    def answer_ids(self) -> NDArray[np.int64]:
        """The answer ids `[n]` that the target wrote at the positions."""
        return self.ids.reshape(-1)[self.positions + 1].astype(np.int64)


def to_batch(samples: list[Sample]) -> Batch:
    """Pad and stack some dialogues."""
    length = max(len(sample.ids) for sample in samples)
    ids = np.zeros((len(samples), length), np.int32)
    positions = []
    for row, sample in enumerate(samples):
        ids[row, : len(sample.ids)] = sample.ids
        positions.append(row * length + np.flatnonzero(sample.answer) - 1)
    return Batch(ids, np.concatenate(positions).astype(np.int64), np.concatenate([sample.hidden for sample in samples]))


def group_by_length(dialogues: Iterable[Item], tokens: int, length: Callable[[Item], int]) -> list[list[Item]]:
    """Groups of about `tokens` padded tokens, each of dialogues of similar `length` in tokens."""
    groups: list[list[Item]] = [[]]
    for dialogue in sorted(dialogues, key=length):
        if groups[-1] and (len(groups[-1]) + 1) * length(dialogue) > tokens:
            groups.append([])
        groups[-1].append(dialogue)
    return groups


def epochs(read: Callable[[], list[Sample]], tokens: int, seed: int) -> Iterator[Batch]:
    """Endless batches: each epoch reads the dialogues anew (more may have come), deals them into pools, groups a pool
    by length, and shuffles the groups."""
    rng = np.random.default_rng(seed)
    while True:
        samples = read()
        pool_size = max(1, min(len(samples), POOL))
        order = rng.permutation(len(samples))
        for start in range(0, len(order), pool_size):
            pool = [samples[i] for i in order[start : start + pool_size]]
            groups = group_by_length(pool, tokens, lambda sample: len(sample.ids))
            for index in rng.permutation(len(groups)):
                yield to_batch(groups[index])
