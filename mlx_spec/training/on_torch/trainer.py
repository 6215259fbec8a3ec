"""Distilling in PyTorch bfloat16. Imported only for `--trainer torch`."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlx_spec.training.batches import Batch
from mlx_spec.training.initial import Weights
from mlx_spec.training.on_torch.divergence import Divergence, Teacher
from mlx_spec.training.on_torch.llama import TorchLlama, torch_llama
from mlx_spec.training.on_torch.rounding import rounded_weights
from mlx_spec.training.progress import Progress, TrainingClock
from mlx_spec.training.recipe import Recipe
from mlx_spec.training.rounding import rounding
from mlx_spec.training.sampled_vocabulary import SampledVocabulary, VocabularySampler


def causal(rows: int, length: int) -> Callable[[int, Tensor, Tensor, Tensor], Tensor]:
    """Attention inside each of `rows` dialogues laid flat one behind the other.

    Written out: on CPUs the backward pass of PyTorch's fused attention takes several times as long at these sizes.
    """
    future = torch.full((length, length), -torch.inf, dtype=torch.bfloat16).triu_(1)

    def attend(_: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        group = queries.shape[1] // keys.shape[1]
        q, k, v = (x.unflatten(0, (rows, length)).transpose(1, 2) for x in (queries, keys, values))
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        scores = torch.matmul(q * queries.shape[-1] ** -0.5, k.transpose(-1, -2)) + future.to(q.dtype)
        return torch.matmul(torch.softmax(scores, -1, dtype=q.dtype), v).transpose(1, 2).flatten(0, 1)

    return attend


def train_torch(
    recipe: Recipe,
    config: dict[str, Any],
    weights: Weights,
    teacher_embedding: NDArray[np.float32],
    vocabulary: VocabularySampler,
    batches: Iterator[Batch],
    report: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> Weights:
    """Distil for `recipe.minutes` from a target with the tied embedding `[vocab, hidden]`. Returns the trained
    weights."""
    model = torch_llama(config, weights)
    teacher = Teacher(torch.from_numpy(teacher_embedding).bfloat16())
    optimizers = make_optimizers(recipe, model)
    as_exported = rounding(config, recipe.layer_bits, recipe.embedding_bits)
    elapsed = TrainingClock(recipe.minutes)
    for share in elapsed.shares(clock):
        batch = next(batches)
        with rounded_weights(model, as_exported if recipe.rounds_at(share) else None):
            overlap = torch_step(model, teacher, batch, vocabulary.sample(batch.answer_ids), recipe.variation_at(share))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, rate in zip(optimizers, (recipe.matrix_rate, recipe.other_rate), strict=True):
            optimizer.param_groups[0]["lr"] = rate * recipe.rate_at(share)
            optimizer.step()
        model.zero_grad(set_to_none=True)
        report(elapsed.stepped(share, len(batch.positions), overlap, lambda: state(model)))
    return state(model)


def make_optimizers(recipe: Recipe, model: TorchLlama) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for the embedding and the norms."""
    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    others = [model.embeddings, *(weight for weight in model.parameters() if weight.ndim == 1)]
    return (
        torch.optim.Muon(matrices, momentum=0.95, weight_decay=0.0),
        torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True),
    )


def torch_step(
    model: TorchLlama, teacher: Teacher, batch: Batch, sampled: SampledVocabulary, variation: float
) -> float:
    """Add a batch's gradients; give its Σ min(p, q)."""
    rows, length = batch.ids.shape
    ids = torch.from_numpy(batch.ids).long().flatten()
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model(ids, torch.arange(length).repeat(rows), causal(rows, length))
    states = torch.from_numpy(batch.hidden.view(np.int16)).view(torch.bfloat16)
    embedding = model.embeddings[torch.from_numpy(sampled.ids)]
    tested = hidden[torch.from_numpy(batch.positions)]
    overlap = Divergence.apply(tested, embedding, states, teacher, sampled, variation)
    overlap.backward()
    return float(overlap.detach())


def state(model: TorchLlama) -> Weights:
    """A copy of the weights as NumPy arrays."""
    return {name: weight.detach().numpy().copy() for name, weight in model.state_dict().items()}
