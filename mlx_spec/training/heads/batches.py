"""Corpus samples as padded batches with the states a head reads. NumPy only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_spec.errors import TrainingError
from mlx_spec.training.answers.corpus import Sample
from mlx_spec.training.answers.features import FeatureStore
from mlx_spec.training.batches import POOL, group_by_length, to_batch


@dataclass(frozen=True, slots=True)
class EagleBatch:
    """A `Batch` and the target's states of the tapped layers, `[rows, length, taps * hidden]` as bfloat16 bits."""

    ids: NDArray[np.int32]
    positions: NDArray[np.int64]
    hidden: NDArray[np.uint16]
    features: NDArray[np.uint16]


def eagle_batches(
    samples: Sequence[Sample], store: FeatureStore, tokens: int, seed: int, *, only_ready: bool = False
) -> Iterator[EagleBatch]:
    """Endless batches of about `tokens` padded tokens, each epoch dealt anew.

    With `only_ready`, batches are drawn from the dialogues whose states are there already, the least used first: for
    as long as another process computes the others, training does not wait for them. Raises TrainingError where none is.
    """
    rng = np.random.default_rng(seed)
    lengths, uses = np.asarray([len(sample.ids) for sample in samples]), np.zeros(len(samples))
    while True:
        pool = store.ready() if only_ready else np.arange(len(samples))
        if not len(pool):
            raise TrainingError("No dialogue's states are there yet: run `mlx-spec train states` first, or beside.")
        pool = rng.permutation(pool)
        pool = pool[np.argsort(uses[pool], kind="stable")][:POOL]
        uses[pool] += 1
        groups = group_by_length(pool.tolist(), tokens, lambda index: int(lengths[index]))
        for index in rng.permutation(len(groups)):
            yield read_batch(samples, store, groups[index])


def read_batch(samples: Sequence[Sample], store: FeatureStore, indices: Sequence[int]) -> EagleBatch:
    """Some dialogues as one batch."""
    batch = to_batch([samples[index] for index in indices])
    return EagleBatch(batch.ids, batch.positions, batch.hidden, store.read(indices, batch.ids))
