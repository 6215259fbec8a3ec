"""Logits to the distribution that a token is drawn from; the same for draft and target.

Filters apply in the order temperature, top-k, top-p, min-p, each to what the one before left. They work on
*scores*: logits divided by the temperature, with removed tokens at -inf, not normalised. An argmax needs no more.
"""

import mlx.core as mx
import numpy as np

from mlx_spec.config import SamplingParams


def scores(logits: mx.array, params: SamplingParams) -> mx.array:
    """Warped, unnormalised log-probabilities `[..., vocab]` (float32) of logits `[..., vocab]`.

    At temperature 0 the logits come back as they are: the argmax is the token, and no filter can remove it.
    """
    rows = logits.astype(mx.float32)
    if params.greedy:
        return rows
    if params.temperature != 1.0:
        rows = rows * (1.0 / params.temperature)
    if 0 < params.top_k < rows.shape[-1]:
        rows = _keep_top_k(rows, params.top_k)
    if params.top_p < 1:
        rows = _keep_top_p(rows, params.top_p)
    if params.min_p > 0:
        least = mx.max(rows, axis=-1, keepdims=True) + float(np.log(params.min_p))
        rows = mx.where(rows >= least, rows, -mx.inf)
    return rows


def _keep_top_k(rows: mx.array, k: int) -> mx.array:
    """Keep the k largest of each row, and whatever ties with the smallest of them."""
    kth = mx.min(mx.topk(rows, k, axis=-1), axis=-1, keepdims=True)
    return mx.where(rows >= kth, rows, -mx.inf)


def _keep_top_p(rows: mx.array, top_p: float) -> mx.array:
    """Keep the fewest most likely tokens with at least `top_p` of the mass, and whatever ties with the last of them."""
    ordered = mx.sort(rows, axis=-1)
    below = mx.cumsum(mx.softmax(ordered, axis=-1), axis=-1)
    # `below[i]` is the mass of the i + 1 least likely: they may go while it stays under 1 - top_p.
    cut = mx.sum(below <= 1.0 - top_p, axis=-1, keepdims=True)
    cut = mx.minimum(cut, rows.shape[-1] - 1)
    return mx.where(rows >= mx.take_along_axis(ordered, cut, axis=-1), rows, -mx.inf)


def log_normaliser(rows: mx.array) -> mx.array:
    """log Σ exp of each row, `[..., vocab]` to `[...]`.

    MLX's CPU backend computes one exponential at a time (measured 36 times slower than NumPy's vector one), so on a
    CPU device the rows are evaluated and NumPy sums them. On a GPU this stays a lazy part of the round's graph.
    """
    if mx.default_device() == mx.Device(mx.gpu) or rows.dtype != mx.float32:
        return mx.logsumexp(rows.astype(mx.float32), axis=-1)
    values = np.asarray(rows)
    top = values.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):  # a row with NaN stays NaN, which the decoder reports
        sums = np.exp(values - top).sum(axis=-1)
    return mx.array(np.log(sums) + top[..., 0])


def log_distribution(rows: mx.array) -> mx.array:
    """Normalised log-probabilities `[..., vocab]` of scores, as the `token` rule needs them."""
    return rows - mx.logsumexp(rows, axis=-1, keepdims=True)
