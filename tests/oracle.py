"""Slow and obvious implementations, in float64 NumPy: what the engine must agree with."""

from collections.abc import Callable

import mlx.core as mx
import numpy as np

from mlx_spec.config import SamplingParams
from mlx_spec.sampling import noise

Array = np.ndarray


def softmax(logits: Array) -> Array:
    """Probabilities `[vocab]` of logits `[vocab]`."""
    shifted = np.exp(logits - np.max(logits))
    return shifted / shifted.sum()


def warped(logits: Array, params: SamplingParams) -> Array:
    """The distribution `[vocab]` a token is drawn from: temperature, then top-k, top-p, min-p, each renormalised."""
    logits = np.asarray(logits, dtype=np.float64)
    if params.temperature == 0:
        return np.eye(len(logits))[int(np.argmax(logits))]
    p = softmax(logits / params.temperature)
    order = np.argsort(-p, kind="stable")
    if 0 < params.top_k < len(p):
        p[order[params.top_k :]] = 0
        p /= p.sum()
    if params.top_p < 1:
        before = np.cumsum(p[order]) - p[order]
        p[order[before >= params.top_p]] = 0
        p /= p.sum()
    if params.min_p > 0:
        p[p < params.min_p * p.max()] = 0
        p /= p.sum()
    return p


def plain_decoding(
    model: Callable[[mx.array], mx.array], prompt_ids: list[int], params: SamplingParams, max_tokens: int, eos: set[int]
) -> list[int]:
    """Decode without a cache, without a draft, a token at a time, from the definition."""
    token_ids = list(prompt_ids)
    for _ in range(max_tokens):
        logits = np.array(model(mx.array([token_ids]))[0, -1].astype(mx.float32))
        p = warped(logits, params)
        with np.errstate(divide="ignore"):
            noisy = np.log(p)
        if params.temperature > 0:
            noisy = noisy + np.array(noise(params.seed, len(token_ids), len(p)))
        token_id = int(np.argmax(noisy))
        if token_id in eos:
            break
        token_ids.append(token_id)
    return token_ids[len(prompt_ids) :]


def coupled_acceptance(p: Array, q: Array) -> float:
    """Probability that two Gumbel samples with shared noise agree: Σ_x 1 / Σ_y max(p_y / p_x, q_y / q_x)."""
    total = 0.0
    for x in range(len(p)):
        if p[x] > 0 and q[x] > 0:
            total += 1.0 / np.maximum(p / p[x], q / q[x]).sum()
    return total
