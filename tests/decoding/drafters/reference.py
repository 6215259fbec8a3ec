"""Heads written from their papers in NumPy, in double precision, without caches: all of a text is read again each time.

EAGLE-3: Li et al. 2025 (arXiv 2503.01840), section 3 and figure 5. EAGLE-1: Li et al. 2024 (arXiv 2401.15077), section
3. Medusa: Cai et al. 2024 (arXiv 2401.10774), section 2.1. DFlash: Chen et al. 2026 (arXiv 2602.06036), section 4.
Matrices are `[out, in]` and come under their published names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weights = Mapping[str, Floats]


@dataclass(frozen=True)
class Sizes:
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    rope_theta: float


def rms(x: Floats, weight: Floats, eps: float) -> Floats:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def silu(x: Floats) -> Floats:
    return x / (1.0 + np.exp(-x))


def rotated(x: Floats, positions: Floats, theta: float) -> Floats:
    """`[n, heads, head_dim]`, turned pair by pair: (i, i + half) by position / theta^(2i / head_dim)."""
    half = x.shape[-1] // 2
    angles = positions[:, None] * theta ** (-np.arange(half) / half)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    first, second = x[..., :half], x[..., half:]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], -1)


def attention(queries: Floats, keys: Floats, values: Floats, sizes: Sizes, seen: Callable[[int, int], bool]) -> Floats:
    """`[n, heads * head_dim]`: one query and one head at a time."""
    out = np.zeros(queries.shape)
    group = sizes.heads // sizes.kv_heads
    for i in range(queries.shape[0]):
        places = [j for j in range(keys.shape[0]) if seen(i, j)]
        for head in range(sizes.heads):
            scores = keys[places, head // group] @ queries[i, head] / np.sqrt(sizes.head_dim)
            weights = np.exp(scores - scores.max())
            out[i, head] = (weights / weights.sum()) @ values[places, head // group]
    return out.reshape(queries.shape[0], -1)


def linear(weights: Weights, name: str, x: Floats) -> Floats:
    bias = weights.get(f"{name}.bias")
    return x @ weights[f"{name}.weight"].T + (0.0 if bias is None else bias)


def mlp(weights: Weights, prefix: str, x: Floats) -> Floats:
    gated = silu(linear(weights, f"{prefix}gate_proj", x)) * linear(weights, f"{prefix}up_proj", x)
    return linear(weights, f"{prefix}down_proj", gated)


def causal_layer(weights: Weights, prefix: str, residual: Floats, x: Floats, sizes: Sizes) -> Floats:
    """A layer over a whole text, whose attention reads `x` and whose result is added to `residual`."""
    positions = np.arange(len(x), dtype=np.float64)
    q, k, v = (
        linear(weights, f"{prefix}self_attn.{name}", x).reshape(len(x), -1, sizes.head_dim)
        for name in ("q_proj", "k_proj", "v_proj")
    )
    q, k = rotated(q, positions, sizes.rope_theta), rotated(k, positions, sizes.rope_theta)
    read = attention(q, k, v, sizes, lambda i, j: j <= i)
    hidden = residual + linear(weights, f"{prefix}self_attn.o_proj", read)
    normed = rms(hidden, weights[f"{prefix}post_attention_layernorm.weight"], sizes.eps)
    return hidden + mlp(weights, f"{prefix}mlp.", normed)


def eagle3_chain(
    weights: Weights,
    sizes: Sizes,
    embedding: Floats,
    features: Floats,
    token_ids: Sequence[int],
    drafted: Sequence[int],
    *,
    norm_before_residual: bool = False,
) -> Floats:
    """Logits `[len(drafted) + 1, draft vocab]`: of the first drafted token, then after each of `drafted`.

    `features` `[n, 3 * hidden]` are the target's states after the first n of the n + 1 `token_ids`.
    """
    states = list(features @ weights["fc.weight"].T)
    read, logits = list(token_ids[1:]), []
    for token_id in [*drafted, None]:
        normed = rms(np.stack(states), weights["midlayer.hidden_norm.weight"], sizes.eps)
        embedded = rms(embedding[read], weights["midlayer.input_layernorm.weight"], sizes.eps)
        residual = normed if norm_before_residual else np.stack(states)
        out = causal_layer(weights, "midlayer.", residual, np.concatenate([embedded, normed], -1), sizes)
        logits.append(rms(out[-1], weights["norm.weight"], sizes.eps) @ weights["lm_head.weight"].T)
        if token_id is not None:
            states.append(out[-1])
            read.append(token_id)
    return np.stack(logits)


def eagle1_chain(
    weights: Weights,
    sizes: Sizes,
    embedding: Floats,
    output: Floats,
    features: Floats,
    token_ids: Sequence[int],
    drafted: Sequence[int],
) -> Floats:
    """As `eagle3_chain`, from the target's last states `[n, hidden]` and with the target's vocabulary matrix."""
    states, read, logits = list(features), list(token_ids[1:]), []
    for token_id in [*drafted, None]:
        joined = linear(weights, "fc", np.concatenate([embedding[read], np.stack(states)], -1))
        out = causal_layer(weights, "layers.0.", joined, joined, sizes)
        logits.append(out[-1] @ output.T)
        if token_id is not None:
            states.append(out[-1])
            read.append(token_id)
    return np.stack(logits)


def medusa_logits(weights: Weights, heads: int, blocks: int, state: Floats) -> Floats:
    """Logits `[heads, vocab]` from the target's last state `[hidden]`."""
    rows = []
    for head in range(heads):
        x = state
        for block in range(blocks):
            x = x + silu(linear(weights, f"{head}.{block}.linear", x))
        rows.append(linear(weights, f"{head}.{blocks}", x))
    return np.stack(rows)


def dflash_block(
    weights: Weights,
    sizes: Sizes,
    layers: int,
    embedding: Floats,
    output: Floats,
    features: Floats,
    newest: int,
    block: int,
    mask_id: int,
    windows: Sequence[int | None],
) -> Floats:
    """Logits `[block - 1, vocab]` of the tokens behind `newest`, from the target's states `[n, taps * hidden]` of the
    text before it."""
    text = rms(linear(weights, "fc", features), weights["hidden_norm.weight"], sizes.eps)
    x = embedding[[newest] + [mask_id] * (block - 1)]
    positions = np.arange(len(text) + block, dtype=np.float64)
    for layer in range(layers):
        prefix = f"layers.{layer}."
        normed = rms(x, weights[f"{prefix}input_layernorm.weight"], sizes.eps)
        both = np.concatenate([text, normed])
        q = linear(weights, f"{prefix}self_attn.q_proj", normed).reshape(block, -1, sizes.head_dim)
        k = linear(weights, f"{prefix}self_attn.k_proj", both).reshape(len(both), -1, sizes.head_dim)
        v = linear(weights, f"{prefix}self_attn.v_proj", both).reshape(len(both), -1, sizes.head_dim)
        q = rotated(
            rms(q, weights[f"{prefix}self_attn.q_norm.weight"], sizes.eps), positions[len(text) :], sizes.rope_theta
        )
        k = rotated(rms(k, weights[f"{prefix}self_attn.k_norm.weight"], sizes.eps), positions, sizes.rope_theta)
        window, start = windows[layer], len(text)
        read = attention(q, k, v, sizes, lambda i, j, w=window, s=start: w is None or abs(s + i - j) < w)  # type: ignore[misc]
        x = x + linear(weights, f"{prefix}self_attn.o_proj", read)
        x = x + mlp(weights, f"{prefix}mlp.", rms(x, weights[f"{prefix}post_attention_layernorm.weight"], sizes.eps))
    return rms(x[1:], weights["norm.weight"], sizes.eps) @ output.T
