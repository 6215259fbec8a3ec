"""EAGLE heads: one decoder layer that continues the target's own states, a token at a time.

EAGLE-3 (Li et al. 2025, arXiv 2503.01840): `fc` fuses the states of three layers; `midlayer` attends over the embedding
of a token beside the state before it, each with a norm of its own; `norm` and a reduced `lm_head` score the draft's
tokens, which `d2t` maps to the target's. EAGLE-1 (Li et al. 2024, arXiv 2401.15077): `fc` joins the embedding and the
target's last state, a layer without an input norm makes the next state of it, and the target's own head scores it.
Either feeds on its own states from the second drafted token on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import mlx.core as mx
import mlx.nn as nn

from mlx_spec.models.heads.ends import TargetEnds
from mlx_spec.models.heads.layer import HeadAttention, HeadMLP, LayerShape, OwnRows, apart
from mlx_spec.models.taps import LAST


@dataclass(frozen=True, slots=True)
class Pairs:
    """What one answer has a head read: `token_ids` `[n]`, each behind its row of `states` `[n, hidden]`. They are
    counted by the states' positions."""

    token_ids: mx.array
    states: mx.array
    own: OwnRows


class EagleHead(Protocol):
    """What both generations have in common, for the drafter."""

    taps: tuple[int, ...]
    """The target's layers whose states it reads, as `mlx_spec.models.taps` counts them."""

    def fuse(self, features: mx.array) -> mx.array:
        """The target's states `[n, taps * hidden]` as states `[n, hidden]` to continue from."""
        ...

    def step(self, pairs: Sequence[Pairs]) -> list[mx.array]:
        """Of each answer its states `[n, hidden]` after reading its pairs, all of them in one pass."""
        ...

    def logits(self, states: mx.array) -> mx.array:
        """Logits `[n, vocab]` in the target's ids; -inf where the head cannot draft a token."""
        ...


class Eagle3Layer(nn.Module):  # type: ignore[misc]  # mypy sees MLX's classes as Any
    """The `midlayer`."""

    def __init__(self, shape: LayerShape, *, norm_before_residual: bool) -> None:
        super().__init__()
        self.norm_before_residual = norm_before_residual
        self.input_layernorm = nn.RMSNorm(shape.hidden, eps=shape.eps)
        self.hidden_norm = nn.RMSNorm(shape.hidden, eps=shape.eps)
        self.self_attn = HeadAttention(shape, 2 * shape.hidden)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden, eps=shape.eps)
        self.mlp = HeadMLP(shape.hidden, shape.inner)

    def __call__(self, embedded: mx.array, states: mx.array, owners: Sequence[OwnRows]) -> mx.array:
        """Both inputs and the output are `[n, hidden]`."""
        normed = self.hidden_norm(states)
        pair = mx.concatenate([self.input_layernorm(embedded), normed], axis=-1)
        states = (normed if self.norm_before_residual else states) + self.self_attn(pair, owners)
        return states + self.mlp(self.post_attention_layernorm(states))


class Eagle3Head(nn.Module):  # type: ignore[misc]
    """An EAGLE-3 head for a target; parameters as published, but for `d2t` and `t2d`."""

    def __init__(
        self,
        shape: LayerShape,
        ends: TargetEnds,
        taps: tuple[int, ...],
        token_ids: mx.array | None,
        *,
        draft_vocab: int,
        norm_before_residual: bool = False,
        own_embedding: bool = False,
    ) -> None:
        """`token_ids` `[draft_vocab]` are the target's ids of the draft's tokens, None where they are the same."""
        super().__init__()
        self.fc = nn.Linear(len(taps) * ends.hidden_size, shape.hidden, bias=False)
        self.midlayer = Eagle3Layer(shape, norm_before_residual=norm_before_residual)
        self.norm = nn.RMSNorm(shape.hidden, eps=shape.eps)
        self.lm_head = nn.Linear(shape.hidden, draft_vocab, bias=False)
        if own_embedding:
            self.embed_tokens = nn.Embedding(ends.vocab_size, shape.hidden)
        # Underscored, so that they are no parameters: they are the target's, or no weights.
        self._ends, self._taps, self._token_ids = ends, taps, token_ids
        self._own_embedding = own_embedding

    @property
    def taps(self) -> tuple[int, ...]:
        """See `EagleHead`."""
        return self._taps

    @property
    def token_ids(self) -> mx.array | None:
        """The target's ids `[draft vocab]` of the tokens that it drafts; None where it drafts them all."""
        return self._token_ids

    def fuse(self, features: mx.array) -> mx.array:
        """See `EagleHead`."""
        fused: mx.array = self.fc(features)
        return fused

    def step(self, pairs: Sequence[Pairs]) -> list[mx.array]:
        """See `EagleHead`."""
        embed = self.embed_tokens if self._own_embedding else self._ends.embed
        token_ids, states, owners = side_by_side(pairs)
        return apart(self.midlayer(embed(token_ids), states, owners), [own.count for own in owners])

    def logits(self, states: mx.array) -> mx.array:
        """See `EagleHead`."""
        scores: mx.array = self.lm_head(self.norm(states))
        if self._token_ids is None:
            return scores
        everything = mx.full((scores.shape[0], self._ends.vocab_size), -mx.inf, dtype=scores.dtype)
        return mx.put_along_axis(everything, mx.broadcast_to(self._token_ids, scores.shape), scores, axis=-1)


class Eagle1Layer(nn.Module):  # type: ignore[misc]
    """A llama layer whose input is not normed where it is the first."""

    def __init__(self, shape: LayerShape, *, first: bool) -> None:
        super().__init__()
        self._first = first
        if not first:
            self.input_layernorm = nn.RMSNorm(shape.hidden, eps=shape.eps)
        self.self_attn = HeadAttention(shape, shape.hidden)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden, eps=shape.eps)
        self.mlp = HeadMLP(shape.hidden, shape.inner)

    def __call__(self, states: mx.array, owners: Sequence[OwnRows]) -> mx.array:
        """`[n, hidden]` to the same."""
        normed = states if self._first else self.input_layernorm(states)
        states = states + self.self_attn(normed, owners)
        return states + self.mlp(self.post_attention_layernorm(states))


class Eagle1Head(nn.Module):  # type: ignore[misc]
    """An EAGLE-1 (and EAGLE-2: the weights are the same) head for a target."""

    def __init__(self, shape: LayerShape, ends: TargetEnds, *, fc_bias: bool, own_embedding: bool) -> None:
        super().__init__()
        self.fc = nn.Linear(2 * shape.hidden, shape.hidden, bias=fc_bias)
        self.layers = [Eagle1Layer(shape, first=True)]
        if own_embedding:
            self.embed_tokens = nn.Embedding(ends.vocab_size, shape.hidden)
        self._ends, self._own_embedding = ends, own_embedding

    @property
    def taps(self) -> tuple[int, ...]:
        """See `EagleHead`."""
        return (LAST,)

    def fuse(self, features: mx.array) -> mx.array:
        """See `EagleHead`."""
        return features

    def step(self, pairs: Sequence[Pairs]) -> list[mx.array]:
        """See `EagleHead`."""
        embed = self.embed_tokens if self._own_embedding else self._ends.embed
        token_ids, states, owners = side_by_side(pairs)
        states = self.fc(mx.concatenate([embed(token_ids), states], axis=-1))
        return apart(self.layers[0](states, owners), [own.count for own in owners])

    def logits(self, states: mx.array) -> mx.array:
        """See `EagleHead`."""
        return self._ends.output(states)


def side_by_side(pairs: Sequence[Pairs]) -> tuple[mx.array, mx.array, list[OwnRows]]:
    """Tokens and states of all answers, and whose they are."""
    token_ids, states = [one.token_ids for one in pairs], [one.states for one in pairs]
    return mx.concatenate(token_ids), mx.concatenate(states), [one.own for one in pairs]


def default_taps(layers: int) -> tuple[int, ...]:
    """The layers that EAGLE-3 reads where a head does not say: near the start, in the middle, near the end.

    The paper's code takes what goes *into* layers 2, n // 2 and n - 3.
    """
    return (1, layers // 2 - 1, layers - 4)


def eagle3_taps(config: dict[str, Any], layers: int) -> tuple[int, ...]:
    """The layers whose outputs a head wants, from its configuration.

    SpecForge and SGLang count a layer's output by its own number; the `speculators` format counts what goes into a
    layer, as vLLM does.
    """
    eagle = config.get("eagle_config") or {}
    if ids := eagle.get("eagle_aux_hidden_state_layer_ids"):
        return tuple(int(layer) for layer in ids)
    if ids := config.get("eagle_aux_hidden_state_layer_ids"):
        into = 1 if "speculators_model_type" in config or "transformer_layer_config" in config else 0
        return tuple(int(layer) - into for layer in ids)
    return default_taps(layers)
