"""How well a draft agrees with its target on held-out answers. NumPy only; whoever runs the draft hands over a
function."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_spec.errors import TrainingError
from mlx_spec.training.answers.corpus import Sample
from mlx_spec.training.batches import group_by_length, to_batch

HiddenStates = Callable[[NDArray[np.int32]], NDArray[np.float32]]
"""ids `[rows, length]` → the draft's final hidden states `[rows * length, hidden]`."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over answer tokens with its standard error; tokens of one dialogue are not taken as independent."""

    mean: float
    error: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.error:.4f}"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Held-out agreement: of the most likely token, and Σ min(p, q) at temperatures 0.7 and 1; KL(p || q) in nats."""

    answers: int
    dialogues: int
    top1: Estimate
    overlap: dict[float, Estimate]
    divergence: Estimate


def estimate(values: NDArray[np.float64], dialogue: NDArray[np.int64]) -> Estimate:
    """The mean of values `[n]`, with the cluster-robust standard error for dialogue numbers `[n]`."""
    mean = float(values.mean())
    if not np.isfinite(mean):
        return Estimate(mean, mean)
    sums = np.bincount(dialogue, values - mean)
    return Estimate(mean, float(np.sqrt(np.square(sums).sum()) / len(values)))


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row-wise log-probabilities, in place."""
    logits -= logits.max(-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    return logits


def widen(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """bfloat16 bits as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def compare(
    target: NDArray[np.float32], draft: NDArray[np.float32], temperatures: tuple[float, ...]
) -> NDArray[np.float64]:
    """Per row of logits `[n, vocab]`: top-1 agreement, KL(p || q), then Σ min(p, q) for each temperature."""
    columns = [(target.argmax(-1) == draft.argmax(-1)).astype(np.float64)]
    log_p, log_q = log_softmax(target.copy()), log_softmax(draft.copy())
    with np.errstate(invalid="ignore"):
        terms = np.exp(log_p) * (log_p - log_q)
    # Infinite where the draft excludes a token that the target does not, and nothing where both do.
    columns.append(np.nan_to_num(terms, nan=0.0, posinf=np.inf).sum(-1, dtype=np.float64))
    for temperature in np.asarray(temperatures, np.float32):
        p, q = (np.exp(log_softmax(logits / temperature)) for logits in (target, draft))
        columns.append(np.minimum(p, q).sum(-1, dtype=np.float64))
    return np.stack(columns, -1)


def evaluate(
    samples: list[Sample],
    teacher: NDArray[np.float32],
    embedding: NDArray[np.float32],
    hidden_states: HiddenStates,
    temperatures: tuple[float, ...] = (0.7, 1.0),
    only: NDArray[np.int64] | None = None,
) -> Agreement:
    """Compare on every answer token of the samples. `teacher` `[vocab, target hidden]` and `embedding` `[vocab, draft
    hidden]` are the two tied embeddings. With `only`, the draft scores no other tokens than these."""
    if not samples:
        raise TrainingError("There are no held-out dialogues to measure on: sample more answers.")
    rows, numbers, number = [], [], 0
    for group in group_by_length(samples, 2048, lambda sample: len(sample.ids)):
        batch = to_batch(group)
        states = hidden_states(batch.ids)[batch.positions]
        for start in range(0, len(states), 256):
            target = widen(batch.hidden[start : start + 256]) @ teacher.T
            logits = states[start : start + 256] @ embedding.T
            if only is not None:
                kept, logits = logits[:, only], np.full_like(logits, -np.inf)
                logits[:, only] = kept
            rows.append(compare(target, logits, temperatures))
        for sample in group:
            numbers.append(np.full(len(sample.hidden), number, np.int64))
            number += 1
    values, dialogue = np.concatenate(rows), np.concatenate(numbers)
    top1, divergence, *overlaps = (estimate(values[:, column], dialogue) for column in range(values.shape[1]))
    return Agreement(len(values), number, top1, dict(zip(temperatures, overlaps, strict=True)), divergence)
