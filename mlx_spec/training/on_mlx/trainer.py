"""Distilling in MLX: the default trainer."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models import llama
from numpy.typing import NDArray

from mlx_spec.training.batches import Batch
from mlx_spec.training.initial import EMBEDDING, Weights
from mlx_spec.training.progress import Progress, TrainingClock
from mlx_spec.training.recipe import Recipe
from mlx_spec.training.rounding import rounded_weights, rounding
from mlx_spec.training.sampled_vocabulary import SampledVocabulary, VocabularySampler

CHUNK = 256
"""Answer tokens whose logits exist at one time."""


def distillation_loss(
    states: mx.array, embedding: mx.array, hidden: mx.array, teacher: mx.array, offsets: mx.array, variation: float
) -> tuple[mx.array, mx.array]:
    """(1 - variation) KL(p || q) + variation Σ|q - p| over m scored tokens, a mean over n tokens; and the mean
    Σ min(p, q), to watch.

    Draft states `[n, d]` with the draft's embedding of these tokens `[m, d]` give q; the target's states `[n, hidden]`
    with its embedding, the teacher, `[m, hidden]`, give p; both with the offsets `[m]` of the scored tokens. Each
    chunk's logits are computed again on the way back, so that only one chunk's exist at a time.
    """
    loss, distance = mx.array(0.0), mx.array(0.0)
    for start in range(0, len(states), CHUNK):
        part = slice(start, start + CHUNK)
        chunk = mx.checkpoint(partial(chunk_loss, variation=variation))
        chunk_sum, chunk_distance = chunk(states[part], embedding, hidden[part], teacher, offsets)
        loss, distance = loss + chunk_sum, distance + chunk_distance
    return loss / len(states), 1.0 - 0.5 * distance / len(states)


def chunk_loss(
    states: mx.array, embedding: mx.array, hidden: mx.array, teacher: mx.array, offsets: mx.array, variation: float
) -> tuple[mx.array, mx.array]:
    """The loss and Σ|q - p|, both summed over the tokens of a chunk; see `distillation_loss`."""
    draft, target = states @ embedding.T + offsets, hidden @ teacher.T + offsets
    log_q = draft - mx.logsumexp(draft, axis=-1, keepdims=True)
    log_p = target - mx.logsumexp(target, axis=-1, keepdims=True)
    p = mx.exp(log_p)
    divergence, distance = (p * (log_p - log_q)).sum(), mx.abs(mx.exp(log_q) - p).sum()
    return (1.0 - variation) * divergence + variation * distance, distance


def batch_loss(
    model: llama.Model, teacher: mx.array, batch: Batch, sampled: SampledVocabulary, variation: float
) -> tuple[mx.array, mx.array]:
    """The loss of a batch, and its Σ min(p, q)."""
    out = model.model(mx.array(batch.ids))
    states = out.reshape(-1, out.shape[-1])[mx.array(batch.positions)]
    hidden = mx.array(batch.hidden).view(mx.bfloat16).astype(teacher.dtype)
    ids, offsets = mx.array(sampled.ids), mx.array(sampled.offsets)
    return distillation_loss(states, model.model.embed_tokens.weight[ids], hidden, teacher[ids], offsets, variation)


def make_optimizer(recipe: Recipe) -> optim.MultiOptimizer:
    """Muon for the layers' matrices, AdamW for the embedding and the norms."""
    # No decay under Muon: MLX would put it into the gradient, PyTorch into the weight.
    matrices = optim.Muon(recipe.matrix_rate, momentum=0.95, weight_decay=0.0)
    others = optim.AdamW(recipe.other_rate, betas=[0.9, 0.98], weight_decay=recipe.weight_decay, bias_correction=True)
    return optim.MultiOptimizer([matrices, others], [lambda name, weight: weight.ndim == 2 and name != EMBEDDING])


def train_mlx(
    recipe: Recipe,
    model: llama.Model,
    teacher_embedding: NDArray[np.float32],
    vocabulary: VocabularySampler,
    batches: Iterator[Batch],
    report: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> Weights:
    """Distil in place for `recipe.minutes`, from a target with the tied embedding `[vocab, hidden]`. Returns the
    trained weights."""
    teacher = mx.array(teacher_embedding)
    optimizer = make_optimizer(recipe)
    matrices, others = optimizer.optimizers
    as_exported = rounding(vars(model.args), recipe.layer_bits, recipe.embedding_bits)
    loss_and_grad = nn.value_and_grad(model, batch_loss)
    elapsed = TrainingClock(recipe.minutes)
    for share in elapsed.shares(clock):
        batch = next(batches)
        matrices.learning_rate = recipe.matrix_rate * recipe.rate_at(share)
        others.learning_rate = recipe.other_rate * recipe.rate_at(share)
        sampled = vocabulary.sample(batch.answer_ids)
        with rounded_weights(model, as_exported if recipe.rounds_at(share) else None):
            (_, overlap), grads = loss_and_grad(model, teacher, batch, sampled, recipe.variation_at(share))
        grads, _ = optim.clip_grad_norm(grads, 1.0)
        optimizer.update(model, grads)
        mx.eval(model.parameters(), optimizer.state, overlap)
        report(elapsed.stepped(share, len(batch.positions), float(overlap.item()), lambda: state(model)))
    return state(model)


def state(model: llama.Model) -> Weights:
    """A copy of the weights as NumPy arrays, under Hugging Face's names."""
    flat: list[tuple[str, Any]] = tree_flatten(model.parameters())
    return {name: np.array(weight.astype(mx.float32)) for name, weight in flat}
