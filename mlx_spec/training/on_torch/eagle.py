"""An EAGLE-3 head in PyTorch, with its training-time test. Imported only for `--trainer torch`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlx_spec.training.on_torch.llama import base_of, rms_norm, rotate, rotation

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, keys and values `[n, heads, head_dim]` of one step → what the queries read."""


class TorchEagle(nn.Module):  # type: ignore[misc]  # torch is optional: mypy sees Any
    """The published head's matrices under the published names: `fc`, `midlayer`, `norm`, `lm_head`."""

    def __init__(self, config: dict[str, Any], taps: int, draft_tokens: int) -> None:
        super().__init__()
        self.config = config
        hidden, inner, head_dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
        query, kv = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
        self.fc = nn.Linear(taps * hidden, hidden, bias=False)
        shapes = {
            "self_attn": {
                "q_proj": (2 * hidden, query),
                "k_proj": (2 * hidden, kv),
                "v_proj": (2 * hidden, kv),
                "o_proj": (query, hidden),
            },
            "mlp": {"gate_proj": (hidden, inner), "up_proj": (hidden, inner), "down_proj": (inner, hidden)},
        }
        layer = {
            part: nn.ModuleDict({name: nn.Linear(*shape, bias=False) for name, shape in matrices.items()})
            for part, matrices in shapes.items()
        }
        norms = ("hidden_norm", "input_layernorm", "post_attention_layernorm")
        self.midlayer = nn.ModuleDict({**layer, **{name: nn.RMSNorm(hidden) for name in norms}})
        self.norm = nn.RMSNorm(hidden)
        self.lm_head = nn.Linear(hidden, draft_tokens, bias=False)

    def step(self, embedded: Tensor, hidden: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """The layer's output `[n, hidden]` for tokens' embeddings and the states before them, both `[n, hidden]`."""
        layer, config, eps = self.midlayer, self.config, self.config["rms_norm_eps"]
        pair = torch.cat(
            [
                rms_norm(embedded, layer["input_layernorm"].weight, eps),
                rms_norm(hidden, layer["hidden_norm"].weight, eps),
            ],
            -1,
        )
        attention, mlp = layer["self_attn"], layer["mlp"]
        q, k, v = (
            attention[name](pair).unflatten(-1, (-1, config["head_dim"])) for name in ("q_proj", "k_proj", "v_proj")
        )
        cos, sin = rotation(positions, config["head_dim"], base_of(config))
        read = attend(rotate(q, cos, sin), rotate(k, cos, sin), v)
        hidden = hidden + attention["o_proj"](read.flatten(-2))
        normed = rms_norm(hidden, layer["post_attention_layernorm"].weight, eps)
        return hidden + mlp["down_proj"](F.silu(mlp["gate_proj"](normed)) * mlp["up_proj"](normed))


class ChainAttention:
    """Attention of the training-time test: step 0 is causal over true states; step s at place i reads step 0 up to i,
    then what the head itself made at i in the steps from 1 on."""

    def __init__(self, rows: int, length: int) -> None:
        self._rows, self._length = rows, length
        self._future = torch.full((length, length), -torch.inf, dtype=torch.bfloat16).triu_(1)
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """What each query of the next step reads, all `[rows * length, heads, head_dim]`."""
        group = queries.shape[1] // keys.shape[1]
        q, k, v = (x.unflatten(0, (self._rows, self._length)).transpose(1, 2) for x in (queries, keys, values))
        self._keys.append(k.repeat_interleave(group, 1))
        self._values.append(v.repeat_interleave(group, 1))
        q = q * queries.shape[-1] ** -0.5
        scores = torch.matmul(q, self._keys[0].transpose(-1, -2)) + self._future.to(q.dtype)
        own = [(q * key).sum(-1, keepdim=True) for key in self._keys[1:]]
        weights = torch.softmax(torch.cat([scores, *own], -1) if own else scores, -1, dtype=q.dtype)
        read = torch.matmul(weights[..., : self._length], self._values[0])
        for place, value in enumerate(self._values[1:]):
            read = read + weights[..., self._length + place, None] * value
        return read.transpose(1, 2).flatten(0, 1)


def rollout(head: TorchEagle, embedding: Tensor, ids: Tensor, features: Tensor, steps: int) -> list[Tensor]:
    """The head's normed states `[rows * length, hidden]` of each step of the training-time test.

    Ids `[rows, length]`, features `[rows, length, taps * hidden]`, the target's embedding `[vocab, hidden]`. Place i
    of step s has read features up to i and the tokens up to i + s + 1, and predicts token i + s + 2.
    """
    rows, length = ids.shape
    attend, positions = ChainAttention(rows, length), torch.arange(length).repeat(rows)
    hidden = head.fc(features.flatten(0, 1))
    states = []
    for step in range(steps):
        embedded = F.embedding(ids.roll(-step - 1, 1).flatten(), embedding).to(hidden.dtype)
        hidden = head.step(embedded, hidden, positions + step, attend)
        states.append(rms_norm(hidden, head.norm.weight, head.config["rms_norm_eps"]))
    return states


class ChainLoss(torch.autograd.Function):  # type: ignore[misc]
    """Σ over steps of decay^s ((1 - variation) KL(p || q) + variation Σ|q - p|), a mean over n answer tokens, over the
    draft's vocabulary.

    States `[steps, n, hidden]` with the head `[draft vocab, hidden]` give q; the target's states `[n, hidden]` with its
    rows for the same tokens `[draft vocab, hidden]` give p, once for all steps. `kept` `[n]` is 0 where the answer's
    own token is outside the draft's vocabulary: what p is there without it teaches the wrong thing. The value is
    Σ min(p, q) of each step, to watch.
    """

    CHUNK = 512
    SLICE = 64

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        head: Tensor,
        target: Tensor,
        rows: Tensor,
        kept: Tensor,
        decay: float,
        variation: float,
    ) -> Tensor:
        grad, weight = torch.empty_like(states), head.to(states.dtype)
        grad_head = torch.zeros_like(head)
        overlaps = torch.zeros(len(states))
        for start in range(0, states.shape[1], ChainLoss.CHUNK):
            part = slice(start, start + ChainLoss.CHUNK)
            p = torch.softmax(target[part] @ rows.T, -1)
            for step in range(len(states)):
                q = states[step, part] @ weight.T
                overlaps[step] += logit_gradient(p, q, kept[part], decay**step, variation)
                torch.mm(q, weight, out=grad[step, part])
                grad_head += q.T @ states[step, part]
        count = kept.sum()
        ctx.save_for_backward(grad.div_(count), grad_head.div_(count))
        return overlaps / count

    @staticmethod
    def backward(ctx: Any, *_: Any) -> tuple[Tensor | None, ...]:
        grad, grad_head = ctx.saved_tensors
        return grad, grad_head, None, None, None, None, None


def logit_gradient(p: Tensor, q: Tensor, kept: Tensor, weight: float, variation: float) -> Tensor:
    """Put the loss's gradient where the draft's logits `q` `[n, draft vocab]` are; gives Σ min(p, q), summed over the
    kept tokens."""
    overlap = torch.zeros(())
    for start in range(0, len(p), ChainLoss.SLICE):
        part = slice(start, start + ChainLoss.SLICE)
        target, draft = p[part], q[part]
        torch.softmax(draft, -1, out=draft)
        grad = draft - target
        overlap += ((1.0 - 0.5 * grad.abs().sum(-1, dtype=torch.float32)) * kept[part]).sum()
        if variation:
            signed = torch.copysign(draft, grad)
            mean = signed.sum(-1, keepdim=True)
            grad.lerp_(signed.addcmul_(draft, mean, value=-1.0), variation)
        torch.mul(grad, (kept[part] * weight).to(grad.dtype)[:, None], out=draft)
    return overlap
