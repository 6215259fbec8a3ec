"""The training-time test of an EAGLE-3 head in MLX, on the module that drafts with it."""

from functools import partial

import mlx.core as mx
import mlx.nn as nn

from mlx_spec.models.heads.eagle import Eagle3Head
from mlx_spec.training.heads.batches import EagleBatch

CHUNK = 256
"""Answer tokens whose logits exist at one time."""


class ChainAttention:
    """Attention of the training-time test: step 0 is causal over true states; step s at place i reads step 0 up to i,
    then what the head itself made at i in the steps from 1 on."""

    def __init__(self, layer: nn.Module, length: int) -> None:
        self._layer = layer
        self._future = mx.triu(mx.full((length, length), -mx.inf), k=1)
        self._keys: list[mx.array] = []
        self._values: list[mx.array] = []

    def __call__(self, pair: mx.array) -> mx.array:
        """Outputs `[rows, length, hidden]` of the next step's inputs `[rows, length, 2 * hidden]`."""
        layer, step = self._layer, len(self._keys)
        head_dim = layer.rope.dims
        q, k, v = (
            proj(pair).reshape(*pair.shape[:2], -1, head_dim).transpose(0, 2, 1, 3)
            for proj in (layer.q_proj, layer.k_proj, layer.v_proj)
        )
        q, k = layer.rope(q, offset=step), layer.rope(k, offset=step)
        group = q.shape[1] // k.shape[1]
        self._keys.append(mx.repeat(k, group, axis=1))
        self._values.append(mx.repeat(v, group, axis=1))
        q = q * head_dim**-0.5
        scores = q @ self._keys[0].swapaxes(-1, -2) + self._future
        own = [(q * key).sum(-1, keepdims=True) for key in self._keys[1:]]
        weights = mx.softmax(mx.concatenate([scores, *own], axis=-1), axis=-1, precise=True)
        length = scores.shape[-1]
        read = weights[..., :length] @ self._values[0]
        for place, value in enumerate(self._values[1:]):
            read = read + weights[..., length + place, None] * value
        output: mx.array = layer.o_proj(read.transpose(0, 2, 1, 3).reshape(*pair.shape[:2], -1))
        return output


def rollout(head: Eagle3Head, embedding: mx.array, ids: mx.array, features: mx.array, steps: int) -> list[mx.array]:
    """The head's normed states `[rows * length, hidden]` of each step.

    Ids `[rows, length]`, features `[rows, length, taps * hidden]`, the target's embedding `[vocab, hidden]`. Place i
    of step s has read features up to i and the tokens up to i + s + 1, and predicts token i + s + 2.
    """
    layer = head.midlayer
    attend = ChainAttention(layer.self_attn, ids.shape[1])
    hidden, states = head.fc(features), []
    for step in range(steps):
        embedded = embedding[mx.roll(ids, -step - 1, 1)]
        pair = mx.concatenate([layer.input_layernorm(embedded), layer.hidden_norm(hidden)], axis=-1)
        hidden = hidden + attend(pair)
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        states.append(head.norm(hidden).reshape(-1, hidden.shape[-1]))
    return states


def chain_loss(
    head: Eagle3Head,
    embedding: mx.array,
    rows: mx.array,
    known: mx.array,
    batch: EagleBatch,
    *,
    steps: int,
    decay: float,
    variation: float,
) -> tuple[mx.array, mx.array]:
    """Σ over steps of decay^s ((1 - variation) KL(p || q) + variation Σ|q - p|), a mean over the answer tokens, over
    the draft's vocabulary; and Σ min(p, q) of the first step, to watch.

    `rows` `[draft vocab, hidden]` are the target's vocabulary matrix for the draft's tokens, `known` `[vocab]` is 1 for
    these: an answer's token outside teaches nothing.
    """
    ids, positions = mx.array(batch.ids), mx.array(batch.positions)
    features = mx.array(batch.features).view(mx.bfloat16).astype(embedding.dtype)
    states = rollout(head, embedding, ids, features, steps)
    tested = mx.stack([step[positions - number - 1] for number, step in enumerate(states)])
    target = mx.array(batch.hidden).view(mx.bfloat16).astype(embedding.dtype)
    kept = known[ids.reshape(-1)[positions + 1]]
    weights = mx.array([decay**step for step in range(steps)])
    loss, overlap = mx.array(0.0), mx.array(0.0)
    for start in range(0, len(batch.positions), CHUNK):
        part = slice(start, start + CHUNK)
        chunk = mx.checkpoint(partial(_chunk_loss, variation=variation))
        added, common = chunk(tested[:, part], head.lm_head.weight, target[part], rows, kept[part], weights)
        loss, overlap = loss + added, overlap + common
    count = mx.maximum(kept.sum(), 1.0)
    return loss / count, overlap / count


def _chunk_loss(
    states: mx.array,
    matrix: mx.array,
    target: mx.array,
    rows: mx.array,
    kept: mx.array,
    weights: mx.array,
    variation: float,
) -> tuple[mx.array, mx.array]:
    """The loss and the first step's Σ min(p, q), both summed over the tokens of a chunk."""
    log_p, log_q = _log_softmax(target @ rows.T), _log_softmax(states @ matrix.T)
    p = mx.exp(log_p)
    divergence = (p * (log_p - log_q)).sum(-1)
    distance = mx.abs(mx.exp(log_q) - p).sum(-1)
    each = (1.0 - variation) * divergence + variation * distance
    return (each * kept * weights[:, None]).sum(), ((1.0 - 0.5 * distance[0]) * kept).sum()


def _log_softmax(logits: mx.array) -> mx.array:
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)
