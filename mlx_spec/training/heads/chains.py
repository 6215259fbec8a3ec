"""How well a head's chains agree with its target on held-out answers, step by step. NumPy only; whoever runs the head
hands over a function."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_spec.training.answers.corpus import Sample
from mlx_spec.training.batches import to_batch
from mlx_spec.training.evaluate import log_softmax, widen

LogitsAt = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Flat places `[n]` → draft logits `[n, draft vocab]` there."""
StepLogits = Callable[[NDArray[np.int32], NDArray[np.uint16]], list[LogitsAt]]
"""ids `[rows, length]` and features → the logits of each step of a chain."""


@dataclass(frozen=True, slots=True)
class ChainAgreement:
    """Held-out agreement of each step of a chain, the steps before it taken from the text.

    `top1` and `overlap` (Σ min(p, q) at temperature 1) have a number for each step. `greedy_top1` is `top1` on the
    answers sampled at temperature 0, `tokens_a_round` what chains of as many tokens as there are steps would bring
    there, the target's own token included: the answers are walked round by round.
    """

    answers: int
    dialogues: int
    top1: tuple[float, ...]
    overlap: tuple[float, ...]
    greedy_top1: tuple[float, ...]
    tokens_a_round: float

    def __str__(self) -> str:
        steps = [" ".join(f"{value:.3f}" for value in values) for values in (self.top1, self.overlap, self.greedy_top1)]
        return (
            f"top-1 {steps[0]}, Σ min(p, q) {steps[1]}, at temperature 0 {steps[2]}, "
            f"{self.tokens_a_round:.3f} tokens a round"
        )


def measure_chains(
    samples: Sequence[Sample],
    features: Callable[[Sample], NDArray[np.uint16]],
    teacher: NDArray[np.float32],
    token_ids: NDArray[np.int64],
    logits_of: StepLogits,
) -> ChainAgreement:
    """Run a head with vocabulary `token_ids` over held-out dialogues, with the target's embedding `[vocab, hidden]`."""
    agreed: list[NDArray[np.bool_]] = []  # of each dialogue, [steps, answer tokens]
    overlaps: list[NDArray[np.float64]] = []
    for sample in samples:
        batch = to_batch([sample])
        steps = logits_of(batch.ids, features(sample)[None])
        target = log_softmax(widen(batch.hidden) @ teacher.T)
        p, wanted = np.exp(target[:, token_ids]), sample.ids[sample.answer]
        right, common = [], []
        for step, logits in enumerate(steps):
            draft = logits(batch.positions - step - 1)
            right.append(token_ids[draft.argmax(-1)] == wanted)
            common.append(np.minimum(p, np.exp(log_softmax(draft))).sum(-1, dtype=np.float64))
        agreed.append(np.stack(right))
        overlaps.append(np.stack(common))
    everything, greedy = (
        np.concatenate(agreed, 1),
        [a for a, s in zip(agreed, samples, strict=True) if not s.temperature],
    )
    return ChainAgreement(
        answers=everything.shape[1],
        dialogues=len(samples),
        top1=tuple(everything.mean(1).tolist()),
        overlap=tuple(np.concatenate(overlaps, 1).mean(1).tolist()),
        greedy_top1=tuple(np.concatenate(greedy, 1).mean(1).tolist()) if greedy else (),
        tokens_a_round=walk(greedy) if greedy else float("nan"),
    )


def walk(agreed: Sequence[NDArray[np.bool_]]) -> float:
    """Mean tokens a round over texts, each `[steps, tokens]`: whether step s would have hit token t had it been the
    s-th of a chain. A round is a chain, kept up to its first miss, and one token of the target's own."""
    tokens = rounds = 0
    for text in agreed:
        steps, length = text.shape
        at = 0
        while at < length:
            kept = 0
            while kept < steps and at + kept < length and text[kept, at + kept]:
                kept += 1
            at += kept + 1
            rounds += 1
        tokens += length
    return tokens / rounds
