"""Which of the vocabulary's tokens a step scores: the frequent ones, those the answers say, and a sample of the rest.

Half of a small draft's training is its vocabulary: of 49,152 tokens, 8,192 are 94 % of what is said. A drawn token of
the rest stands for those left out too, so its weight is one over the chance that it was drawn; with that weight's
logarithm added to the logit, the softmax over the scored tokens estimates the one over all (importance sampling, as in
the sampled softmax of Jean et al. 2015). p and q get the same weights, so what is learnt is the KL over the whole
vocabulary, with noise from the tokens that are rarely said.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SampledVocabulary:
    """Ids `[m]`, each once, and what is added to their logits `[m]`: zero, or for a drawn one the logarithm of how many
    it stands for."""

    ids: NDArray[np.int64]
    offsets: NDArray[np.float32]


class VocabularySampler:
    """`size` tokens of which `frequent` `[f]` are always scored and `drawn` of the rest; all, where that is all."""

    def __init__(self, size: int, frequent: NDArray[np.int64], drawn: int, seed: int) -> None:
        self._size = size
        self._frequent = frequent
        self._drawn = drawn
        self._rng = np.random.default_rng(seed)

    def sample(self, answer_ids: NDArray[np.int64]) -> SampledVocabulary:
        """For a step whose answers are `answer_ids` `[n]`: these are likely ones, so none of them is left to
        chance."""
        certain = np.union1d(self._frequent, answer_ids).astype(np.int64)
        rest = np.setdiff1d(np.arange(self._size), certain, assume_unique=True)
        drawn = self._rng.choice(rest, min(self._drawn, len(rest)), replace=False)
        offsets = np.zeros(len(certain) + len(drawn), np.float32)
        offsets[len(certain) :] = np.log(len(rest) / max(1, len(drawn)))
        return SampledVocabulary(np.concatenate([certain, drawn]), offsets)
