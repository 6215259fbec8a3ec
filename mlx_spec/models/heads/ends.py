"""A target's two ends: what turns tokens into states, and states into scores. Heads borrow both."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from mlx_spec.errors import UnsupportedModelError


@dataclass(frozen=True, slots=True)
class TargetEnds:
    """`embed` maps token ids `[n]` to states `[n, hidden]`, `output` normed states `[n, hidden]` to logits
    `[n, vocab]`."""

    embed: Callable[[mx.array], mx.array]
    output: Callable[[mx.array], mx.array]
    hidden_size: int
    vocab_size: int
    layers: int
    dtype: mx.Dtype


def target_ends(model: Any) -> TargetEnds:
    """The ends of an mlx-lm model. Raises UnsupportedModelError where they are not where such models have them."""
    outer = getattr(model, "language_model", model)
    inner = getattr(outer, "model", outer)
    embed = getattr(inner, "embed_tokens", None)
    head = getattr(outer, "lm_head", None) or getattr(model, "lm_head", None)
    if embed is None or (head is None and not hasattr(embed, "as_linear")):
        raise UnsupportedModelError(
            f"Heads cannot draft for a {type(model).__module__.rpartition('.')[2]} model: it keeps its embedding"
            " where this version does not find it. Choose another drafter."
        )
    embed = getattr(embed, "at_hand", None) or embed  # of a split target the whole one, not the way over other machines
    # From the graph, which is never computed: a quantised embedding has neither size nor type in its shape.
    state = embed(mx.zeros((1,), dtype=mx.int32))
    output = head if head is not None else embed.as_linear
    return TargetEnds(
        embed=embed,
        output=output,
        hidden_size=state.shape[-1],
        vocab_size=output(state).shape[-1],
        layers=len(model.layers),
        dtype=state.dtype,
    )
