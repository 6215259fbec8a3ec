"""DFlash (Chen et al. 2026, arXiv 2602.06036): a block of masked tokens, filled in by one pass over the target's
states.

A few layers; in each, the block attends to itself, both ways, and to the target's states of the text so far, which `fc`
has fused. Embedding and vocabulary matrix are the target's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import KVCache

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.heads.ends import TargetEnds
from mlx_spec.models.heads.layer import HeadAttention, HeadMLP, LayerShape, apart, attend, split


@dataclass(frozen=True, slots=True)
class BlockShape:
    """How a DFlash drafter works: the tokens of a block, the token that stands for what is not known, the target's
    layers that it reads (outputs), and the window of each of its own layers that has one."""

    block: int
    mask_id: int
    taps: tuple[int, ...]
    windows: tuple[int | None, ...]

    @classmethod
    def of(cls, config: dict[str, Any], target_layers: int) -> "BlockShape":
        """From `config.json`. Raises CorruptModelError, naming what is missing."""
        try:
            own, layers = config.get("dflash_config") or {}, int(config["num_hidden_layers"])
            taps = own.get("target_layer_ids") or config.get("target_layer_ids") or even_layers(target_layers, layers)
            kinds = config.get("layer_types") or ["full_attention"] * layers
            window = config.get("sliding_window")
            return cls(
                block=int(config.get("block_size") or own["block_size"]),
                mask_id=int(own["mask_token_id"] if "mask_token_id" in own else config["mask_token_id"]),
                taps=tuple(int(layer) for layer in taps),
                windows=tuple(int(window) if kind == "sliding_attention" and window else None for kind in kinds),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptModelError(f"The drafter's config.json lacks a field ({error}): fetch it again.") from error


def even_layers(target_layers: int, count: int) -> list[int]:
    """The target's layers that a drafter of `count` layers reads unless it says otherwise."""
    if count == 1:
        return [target_layers // 2]
    last = target_layers - 3
    return [round(1 + i * (last - 1) / (count - 1)) for i in range(count)]


class BlockAttention(HeadAttention):
    """Queries from the block; keys and values from the text's states, then from the block itself."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__(shape, shape.hidden, output_bias=shape.attention_bias)
        self.q_norm = nn.RMSNorm(shape.head_dim, eps=shape.eps)
        self.k_norm = nn.RMSNorm(shape.head_dim, eps=shape.eps)

    def __call__(  # type: ignore[override]
        self, x: mx.array, texts: Sequence[mx.array], caches: Sequence[KVCache], window: int | None
    ) -> mx.array:
        """Outputs `[answers * block, hidden]` of the blocks `[answers * block, hidden]` of some answers, each behind
        its new text `[n, hidden]`; both enter its cache."""
        dim, block = self._shape.head_dim, x.shape[0] // len(texts)
        blocks = mx.split(x, len(texts))
        both = mx.concatenate([part for pair in zip(texts, blocks, strict=True) for part in pair])
        counts = [text.shape[0] + block for text in texts]
        queries = apart(self.q_norm(split(self.q_proj(x), dim)), [block] * len(texts), axis=2)
        keys = apart(self.k_norm(split(self.k_proj(both), dim)), counts, axis=2)
        values = apart(split(self.v_proj(both), dim), counts, axis=2)
        every = zip(queries, keys, values, caches, strict=True)
        found = [self._read(query, key, value, cache, window) for query, key, value, cache in every]
        output: mx.array = self.o_proj(mx.concatenate(found))
        return output

    def _read(
        self, queries: mx.array, keys: mx.array, values: mx.array, cache: KVCache, window: int | None
    ) -> mx.array:
        """What the block of one answer reads, `[block, heads * head_dim]`."""
        start, block = cache.offset, queries.shape[2]
        queries = self.rope(queries, offset=start + keys.shape[2] - block)
        keys, values = cache.update_and_fetch(self.rope(keys, offset=start), values)
        mask = None
        if window is not None:
            places = mx.arange(keys.shape[2])
            mask = mx.abs(places[None] - places[-block:, None]) < window
        return attend(queries, keys, values, mask)


class BlockLayer(nn.Module):  # type: ignore[misc]  # mypy sees MLX's classes as Any
    """A Qwen3 layer over a block."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        self.self_attn = BlockAttention(shape)
        self.mlp = HeadMLP(shape.hidden, shape.inner)
        self.input_layernorm = nn.RMSNorm(shape.hidden, eps=shape.eps)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden, eps=shape.eps)

    def __call__(
        self, x: mx.array, texts: Sequence[mx.array], caches: Sequence[KVCache], window: int | None
    ) -> mx.array:
        """`[answers * block, hidden]` to the same."""
        x = x + self.self_attn(self.input_layernorm(x), texts, caches, window)
        return x + self.mlp(self.post_attention_layernorm(x))


class DFlashHead(nn.Module):  # type: ignore[misc]
    """A DFlash drafter for a target; parameters as published."""

    def __init__(self, shape: LayerShape, block: BlockShape, ends: TargetEnds, layers: int) -> None:
        super().__init__()
        self.fc = nn.Linear(len(block.taps) * ends.hidden_size, shape.hidden, bias=False)
        self.hidden_norm = nn.RMSNorm(shape.hidden, eps=shape.eps)
        self.layers = [BlockLayer(shape) for _ in range(layers)]
        self.norm = nn.RMSNorm(shape.hidden, eps=shape.eps)
        self._block, self._ends = block, ends

    @property
    def taps(self) -> tuple[int, ...]:
        """The target's layers whose states it reads."""
        return self._block.taps

    @property
    def block_size(self) -> int:
        """Tokens in a block, the known one at its head included."""
        return self._block.block

    def make_cache(self) -> list[KVCache]:
        """One cache a layer, for the text."""
        return [KVCache() for _ in self.layers]

    @property
    def no_text(self) -> mx.array:
        """A fused text of no tokens, `[0, hidden]`."""
        weight: mx.array = self.hidden_norm.weight
        return weight[None][:0]

    def read(self, features: mx.array) -> mx.array:
        """The target's states `[n, taps * hidden]`, fused `[n, hidden]`."""
        fused: mx.array = self.hidden_norm(self.fc(features))
        return fused

    def logits(self, asked: Sequence["Behind"]) -> list[mx.array]:
        """Logits `[block - 1, vocab]` of what comes behind each, of all in one pass. The texts enter their caches, the
        blocks leave no trace."""
        block = self._block.block
        masked = mx.full((block - 1,), self._block.mask_id, dtype=mx.int32)
        token_ids = [part for one in asked for part in (one.known[None].astype(mx.int32), masked)]
        x, texts = self._ends.embed(mx.concatenate(token_ids)), [one.text for one in asked]
        for number, (layer, window) in enumerate(zip(self.layers, self._block.windows, strict=True)):
            caches = [one.caches[number] for one in asked]
            x = layer(x, texts, caches, window)
            for cache in caches:
                cache.trim(block)
        blocks = x.reshape(len(asked), block, -1)[:, 1:]
        rows = self._ends.output(self.norm(blocks.reshape(-1, x.shape[-1])))
        return list(mx.split(rows, len(asked)))


@dataclass(frozen=True, slots=True)
class Behind:
    """Where a block is to begin: behind `known` (0-d), which follows the fused `text` `[n, hidden]`, the new part of
    what the `caches` hold."""

    known: mx.array
    text: mx.array
    caches: Sequence[KVCache]
