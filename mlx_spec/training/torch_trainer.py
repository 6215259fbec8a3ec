"""Distilling in PyTorch bfloat16. Imported only for `--trainer torch`."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mlx_spec.training.batches import Batch, Columns, columns
from mlx_spec.training.initial import Weights
from mlx_spec.training.progress import Progress
from mlx_spec.training.recipe import Recipe
from mlx_spec.training.torch_llama import TorchLlama, torch_llama

CHUNK = 512
"""Answer tokens whose logits exist at one time."""


class Distillation(torch.autograd.Function):  # type: ignore[misc]  # torch is optional: mypy sees Any
    """Mean loss of draft states h `[n, d]` against the teacher's likeliest tokens; the value is Σ min(p, q), to watch.

    The teacher is `top` `[n, k]` (columns) with `p` `[n, k]`, and one bucket for all other tokens. Over these k + 1
    events, KL(p || q) has the gradient q - p on the k tokens and q (1 - p_other / q_other) on the others; Σ|q - p|
    (twice the total variation) has q (s - Σ q s), s = sign(q - p). The columns `[c, d]` are the embedding's rows that
    the batch needs plus random ones, whose `shift` `[c]` (log of one over their share) makes the softmax stand for
    the whole vocabulary.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, rows: Tensor, shift: Tensor, top: Tensor, p: Tensor, variation: float) -> Tensor:
        grad_h, grad_rows = torch.empty_like(h), torch.zeros(rows.shape, dtype=torch.float32)
        overlap = torch.zeros(())
        for start in range(0, len(h), CHUNK):
            part = slice(start, start + CHUNK)
            q = (F.linear(h[part], rows).float() + shift).softmax(-1)
            likely = q.gather(1, top[part])
            rest_p = 1.0 - p[part].sum(-1, keepdim=True)
            rest_q = (1.0 - likely.sum(-1, keepdim=True)).clamp_min(1e-6)
            overlap += torch.minimum(likely, p[part]).sum() + torch.minimum(rest_p, rest_q).sum()
            signs, rest_sign = (likely - p[part]).sign(), (rest_q - rest_p).sign()
            mean = (likely * signs).sum(-1, keepdim=True) + rest_q * rest_sign
            on_others = (1.0 - variation) * (1.0 - rest_p / rest_q) + variation * (rest_sign - mean)
            on_likely = (1.0 - variation) * (likely - p[part]) + variation * likely * (signs - mean)
            grad = (q * on_others.clamp(-1e3, 1e3)).scatter_(1, top[part], on_likely).to(h.dtype)
            grad_h[part] = grad @ rows
            grad_rows += grad.T @ h[part]
        ctx.save_for_backward(grad_h, grad_rows)
        ctx.count = len(h)
        return overlap / len(h)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> tuple[Tensor | None, ...]:
        grad_h, grad_rows = ctx.saved_tensors
        return grad_h / ctx.count, grad_rows.div_(ctx.count).to(grad_h.dtype), None, None, None, None


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
    batches: Iterator[Batch],
    report: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> Weights:
    """Distil for `recipe.minutes`. Returns the trained weights."""
    model = torch_llama(config, weights)
    rng = np.random.default_rng(recipe.seed)
    layers = [weight for name, weight in model.named_parameters() if name != "model.embed_tokens.weight"]
    groups = [
        {"params": layers, "rate": recipe.layer_rate},
        {"params": [model.embeddings], "rate": recipe.embedding_rate},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True)
    start, tokens, step = clock(), 0, 0
    while (progress := (clock() - start) / (60 * recipe.minutes)) < 1.0:
        batch = next(batches)
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * recipe.rate_at(progress)
        overlap = torch_step(
            model,
            batch,
            columns(batch, config["vocab_size"], recipe.random_columns, rng),
            recipe.variation_at(progress),
        )
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens, step = tokens + len(batch.spots), step + 1
        report(Progress(progress, step, tokens, overlap, lambda: state(model)))
    return state(model)


def torch_step(model: TorchLlama, batch: Batch, chosen: Columns, variation: float) -> float:
    """Add a batch's gradients; give its Σ min(p, q)."""
    rows, length = batch.ids.shape
    ids = torch.from_numpy(batch.ids).long().flatten()
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model(ids, torch.arange(length).repeat(rows), causal(rows, length))
    states = hidden[torch.from_numpy(batch.spots)]
    head = F.embedding(torch.from_numpy(chosen.ids), model.embeddings).bfloat16()
    arrays = (torch.from_numpy(array) for array in (chosen.shift, chosen.top, batch.top_p.astype(np.float32)))
    overlap = Distillation.apply(states, head, *arrays, variation)
    overlap.backward()
    return float(overlap.detach())


def state(model: TorchLlama) -> Weights:
    """A copy of the weights as NumPy arrays."""
    return {name: weight.detach().numpy().copy() for name, weight in model.state_dict().items()}
