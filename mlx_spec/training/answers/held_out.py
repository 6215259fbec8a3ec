"""Which held-out dialogues a measure takes: some of them, in an order that is the same every time."""

import numpy as np

from mlx_spec.training.answers.corpus import Sample


def shuffled(held_out: list[Sample], seed: int | None = 0) -> list[Sample]:
    """The dialogues in a random order of this seed, so that the first of them come from all over the corpus. None
    draws an order that no other call has."""
    return [held_out[index] for index in np.random.default_rng(seed).permutation(len(held_out))]


def pick_held_out(held_out: list[Sample], tokens: int) -> list[Sample]:
    """Held-out dialogues that have `tokens` answer tokens together, from all over the corpus, always the same ones."""
    ordered = shuffled(held_out)
    ends = np.cumsum([len(sample.hidden) for sample in ordered])
    return ordered[: int(np.searchsorted(ends, tokens)) + 1]
