"""Distilling in MLX: the default trainer."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models import llama

from mlx_spec.training.batches import Batch, Columns, columns
from mlx_spec.training.initial import Weights
from mlx_spec.training.progress import Progress
from mlx_spec.training.recipe import Recipe

EMBEDDING = "model.embed_tokens.weight"


def distillation_loss(
    states: mx.array, rows: mx.array, shift: mx.array, top: mx.array, p: mx.array, variation: float
) -> tuple[mx.array, mx.array]:
    """Mean loss of draft states `[n, d]` against the teacher's likeliest tokens, and Σ min(p, q), to watch.

    The teacher is `top` `[n, k]` (columns) with `p` `[n, k]`, and one bucket for all other tokens; the loss is
    (1 - variation) KL(p || q) + variation Σ|q - p| over these k + 1 events. The columns `[c, d]` are the embedding's
    rows that the batch needs plus random ones, whose `shift` `[c]` (log of one over their share) makes them stand for
    the whole vocabulary.
    """
    logits = states @ rows.T + shift
    log_q = mx.take_along_axis(logits, top, axis=-1) - mx.logsumexp(logits, axis=-1, keepdims=True)
    rest_p = mx.maximum(1.0 - p.sum(-1), 1e-6)
    rest_q = mx.maximum(1.0 - mx.exp(log_q).sum(-1), 1e-6)
    divergence = (p * (mx.log(mx.maximum(p, 1e-9)) - log_q)).sum(-1) + rest_p * (mx.log(rest_p) - mx.log(rest_q))
    distance = mx.abs(mx.exp(log_q) - p).sum(-1) + mx.abs(rest_q - rest_p)
    return ((1.0 - variation) * divergence + variation * distance).mean(), 1.0 - 0.5 * distance.mean()


def batch_loss(model: llama.Model, batch: Batch, chosen: Columns, variation: float) -> tuple[mx.array, mx.array]:
    """The loss of a batch, and its Σ min(p, q)."""
    hidden = model.model(mx.array(batch.ids))
    states = hidden.reshape(-1, hidden.shape[-1])[mx.array(batch.spots)]
    rows = model.model.embed_tokens.weight[mx.array(chosen.ids)]
    p = mx.array(batch.top_p.astype(np.float32))
    return distillation_loss(states, rows, mx.array(chosen.shift), mx.array(chosen.top), p, variation)


def make_optimizer(recipe: Recipe) -> optim.MultiOptimizer:
    """AdamW for the embedding and AdamW for everything else, each with its own rate."""
    embedding, layers = (
        optim.AdamW(learning_rate=rate, betas=[0.9, 0.98], weight_decay=recipe.weight_decay, bias_correction=True)
        for rate in (recipe.embedding_rate, recipe.layer_rate)
    )
    return optim.MultiOptimizer([embedding, layers], [lambda name, _: name == EMBEDDING])


def train_mlx(
    recipe: Recipe,
    model: llama.Model,
    batches: Iterator[Batch],
    report: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> Weights:
    """Distil in place for `recipe.minutes`. Returns the trained weights."""
    rng = np.random.default_rng(recipe.seed)
    optimizer = make_optimizer(recipe)
    embedding, layers = optimizer.optimizers
    loss_and_grad = nn.value_and_grad(model, batch_loss)
    start, tokens, step = clock(), 0, 0
    while (progress := (clock() - start) / (60 * recipe.minutes)) < 1.0:
        batch = next(batches)
        embedding.learning_rate = recipe.embedding_rate * recipe.rate_at(progress)
        layers.learning_rate = recipe.layer_rate * recipe.rate_at(progress)
        chosen = columns(batch, model.args.vocab_size, recipe.random_columns, rng)
        (_, overlap), grads = loss_and_grad(model, batch, chosen, recipe.variation_at(progress))
        grads, _ = optim.clip_grad_norm(grads, 1.0)
        optimizer.update(model, grads)
        mx.eval(model.parameters(), optimizer.state, overlap)
        tokens, step = tokens + len(batch.spots), step + 1
        report(Progress(progress, step, tokens, float(overlap.item()), lambda: state(model)))
    return state(model)


def state(model: llama.Model) -> Weights:
    """A copy of the weights as NumPy arrays, under Hugging Face's names."""
    flat: list[tuple[str, Any]] = tree_flatten(model.parameters())
    return {name: np.array(weight.astype(mx.float32)) for name, weight in flat}
