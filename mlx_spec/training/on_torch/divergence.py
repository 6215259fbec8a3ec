"""The distilling loss over the scored vocabulary, in PyTorch bfloat16. Imported only for `--trainer torch`."""

from typing import Any

import torch
from torch import Tensor

from mlx_spec.training.sampled_vocabulary import SampledVocabulary

CHUNK = 1024
"""Answer tokens whose logits exist at one time: fewer, and unpacking the embeddings for each product costs more."""
SLICE = 1 << 19
"""Logits of a model that are worked on while they are in a core's cache: two models' are 2 MB of bfloat16 numbers."""
WATCHED = 4
"""Σ min(p, q) costs a pass more; it is taken on one slice in so many."""


class Teacher:
    """The target's tied embedding `[vocab, hidden]`, and room for the distributions of one chunk, in its precision."""

    def __init__(self, embedding: Tensor) -> None:
        self.embedding = embedding
        # Kept: memory as large as this goes back to the system when it is freed, and comes back one page at a time.
        self._room = torch.empty(2, CHUNK * len(embedding), dtype=embedding.dtype)

    def room(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Two scratch matrices `[rows, columns]`."""
        first, second = self._room[:, : rows * columns].view(2, rows, columns)
        return first, second


class Divergence(torch.autograd.Function):  # type: ignore[misc]  # torch is optional: mypy sees Any
    """(1 - variation) KL(p || q) + variation Σ|q - p|, over the m scored tokens, as a mean over n answer tokens.

    Draft states h `[n, d]` with the draft's embedding of these tokens `[m, d]` give q; the target's states `[n,
    hidden]` with the teacher's embedding give p; both with the scored tokens' offsets. With respect to the draft's
    logits KL has the gradient q - p, and Σ|q - p| (twice the total variation) has q (s - Σ q s) where s = sign(q - p).
    The value is Σ min(p, q) on some of the tokens, to watch.
    """

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        embedding: Tensor,
        states: Tensor,
        teacher: Teacher,
        sampled: SampledVocabulary,
        variation: float,
    ) -> Tensor:
        grad_h, rows = torch.empty_like(h), embedding.to(h.dtype)
        teaching = teacher.embedding[torch.from_numpy(sampled.ids)]
        offsets = torch.from_numpy(sampled.offsets).to(h.dtype)
        overlaps, grad_embedding = [], torch.zeros_like(embedding)
        for start in range(0, len(h), CHUNK):
            part = slice(start, start + CHUNK)
            p, q = teacher.room(len(h[part]), len(rows))
            torch.addmm(offsets, states[part], teaching.T, out=p)
            torch.addmm(offsets, h[part], rows.T, out=q)
            overlaps.append(logit_gradient(p, q, variation))
            torch.mm(p, rows, out=grad_h[part])
            grad_embedding += p.T @ h[part]
        ctx.save_for_backward(grad_h.div_(len(h)), grad_embedding.div_(len(h)))
        return torch.cat(overlaps).mean()

    @staticmethod
    def backward(ctx: Any, *_: Any) -> tuple[Tensor | None, ...]:
        grad_h, grad_embedding = ctx.saved_tensors
        return grad_h, grad_embedding, None, None, None, None


def logit_gradient(p: Tensor, q: Tensor, variation: float) -> Tensor:
    """Put the loss's gradient with respect to the draft's logits `q` `[n, m]` where the target's logits `p` are;
    gives Σ min(p, q) of some rows."""
    ones, overlaps, rows = torch.ones(p.shape[-1], dtype=p.dtype), [], max(1, SLICE // p.shape[-1])
    for number, start in enumerate(range(0, len(p), rows)):
        target, draft = p[start : start + rows], q[start : start + rows]
        torch.softmax(target, -1, out=target)
        torch.softmax(draft, -1, out=draft)
        grad = torch.sub(draft, target, out=target)
        if number % WATCHED == 0:
            overlaps.append(1.0 - 0.5 * grad.abs().sum(-1, dtype=torch.float32))
        if variation:
            signed = torch.copysign(draft, grad)
            mean = (signed @ ones)[:, None]
            grad.lerp_(signed, variation).addcmul_(draft, mean, value=-variation)
    return torch.cat(overlaps)
