"""The decoder layer that heads are built of: a llama's, with a wider input or none of its norms where they say so."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import KVCache
from mlx_lm.models.rope_utils import initialize_rope

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.files.rope import with_rope

Mask = mx.array | str | None
"""`[n, keys]`, bool; "causal"; or None, where every query sees every key."""

Offset = int | mx.array
"""The position of the first of n tokens in a row, or the positions `[n]` of each."""


@dataclass(frozen=True, slots=True)
class LayerShape:
    """The sizes of a head's layers, from its `config.json`."""

    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    rope_theta: float
    rope_scaling: dict[str, Any] | None
    max_positions: int
    attention_bias: bool

    @classmethod
    def of(cls, config: dict[str, Any]) -> "LayerShape":
        """Raises CorruptModelError, naming the field that is missing."""
        try:
            hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
            config = with_rope(config)
            return cls(
                hidden=hidden,
                inner=int(config["intermediate_size"]),
                heads=heads,
                kv_heads=int(config.get("num_key_value_heads") or heads),
                head_dim=int(config.get("head_dim") or hidden // heads),
                eps=float(config.get("rms_norm_eps", 1e-6)),
                rope_theta=float(config.get("rope_theta") or 10000.0),
                rope_scaling=config.get("rope_scaling"),
                max_positions=int(config.get("max_position_embeddings", 2048)),
                attention_bias=bool(config.get("attention_bias") or config.get("qkv_bias")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptModelError(f"The head's config.json lacks a size ({error}): fetch the head again.") from error

    def rope(self) -> Any:
        """The rotary embedding of these sizes."""
        return initialize_rope(self.head_dim, self.rope_theta, False, self.rope_scaling, self.max_positions)


@dataclass(frozen=True, slots=True)
class OwnRows:
    """One answer's rows in a pass of a head: `count` of them, the cache that they enter, where they stand, and what
    they see of that cache."""

    count: int
    cache: KVCache
    offset: Offset
    mask: Mask = None

    @property
    def positions(self) -> mx.array:
        """Of each row, `[count]`."""
        return mx.arange(self.count) + self.offset if isinstance(self.offset, int) else self.offset


class HeadAttention(nn.Module):  # type: ignore[misc]  # mypy sees MLX's classes as Any
    """Attention over a cache, from inputs `[n, width]`."""

    def __init__(self, shape: LayerShape, width: int, *, output_bias: bool = False) -> None:
        super().__init__()
        self._shape = shape
        bias, kv = shape.attention_bias, shape.kv_heads * shape.head_dim
        self.q_proj = nn.Linear(width, shape.heads * shape.head_dim, bias=bias)
        self.k_proj = nn.Linear(width, kv, bias=bias)
        self.v_proj = nn.Linear(width, kv, bias=bias)
        self.o_proj = nn.Linear(shape.heads * shape.head_dim, shape.hidden, bias=output_bias)
        self.rope = shape.rope()

    def __call__(self, x: mx.array, owners: Sequence[OwnRows]) -> mx.array:
        """Outputs `[n, hidden]` of rows that lie side by side, those of each of the `owners`."""
        queries, keys, values = (
            split(proj(x), self._shape.head_dim) for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        offset = owners[0].offset if len(owners) == 1 else mx.concatenate([own.positions for own in owners])
        queries, keys = self._rotated(queries, offset), self._rotated(keys, offset)
        counts, found = [own.count for own in owners], []
        each = (apart(rows, counts, axis=2) for rows in (queries, keys, values))
        for own, one, key, value in zip(owners, *each, strict=True):
            key, value = own.cache.update_and_fetch(key, value)
            found.append(attend(one, key, value, own.mask))
        output: mx.array = self.o_proj(mx.concatenate(found) if len(found) > 1 else found[0])
        return output

    def _rotated(self, x: mx.array, offset: Offset) -> mx.array:
        """`[1, heads, n, head_dim]` turned by position."""
        if isinstance(offset, int):
            turned: mx.array = self.rope(x, offset=offset)
            return turned
        # MLX takes an offset a batch row, so the tokens become rows.
        turned = self.rope(x.transpose(2, 1, 0, 3), offset=offset)
        return turned.transpose(2, 1, 0, 3)


class HeadMLP(nn.Module):  # type: ignore[misc]
    """SwiGLU, as llamas have it."""

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        """`[n, hidden]` to the same."""
        output: mx.array = self.down_proj(nn.silu(self.gate_proj(x)) * self.up_proj(x))
        return output


def split(x: mx.array, head_dim: int) -> mx.array:
    """`[n, heads * head_dim]` as `[1, heads, n, head_dim]`."""
    return x.reshape(1, x.shape[0], -1, head_dim).transpose(0, 2, 1, 3)


def apart(rows: mx.array, counts: Sequence[int], axis: int = 0) -> list[mx.array]:
    """Rows that lie side by side, so many of each answer."""
    ends = list(accumulate(counts))[:-1]
    return list(mx.split(rows, ends, axis=axis)) if ends else [rows]


def attend(queries: mx.array, keys: mx.array, values: mx.array, mask: Mask) -> mx.array:
    """What `[1, heads, n, head_dim]` queries read, `[n, heads * head_dim]`."""
    scale = queries.shape[-1] ** -0.5
    read = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
    return read.transpose(0, 2, 1, 3).reshape(queries.shape[2], -1)
