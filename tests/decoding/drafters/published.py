"""Tiny heads with random weights, written to disk the way their authors publish them."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from tests.decoding.drafters.reference import Floats, Sizes
from tests.tiny import TINY_VOCAB, tiny_llama

HIDDEN, INNER, LAYERS = 32, 48, 6
SIZES = Sizes(heads=4, kv_heads=2, head_dim=8, eps=1e-5, rope_theta=5000.0)
DRAFT_VOCAB = 40
CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_attention_heads": SIZES.heads,
    "num_key_value_heads": SIZES.kv_heads,
    "rms_norm_eps": SIZES.eps,
    "rope_theta": SIZES.rope_theta,
    "vocab_size": TINY_VOCAB,
    "num_hidden_layers": 1,
    "max_position_embeddings": 512,
}


def target() -> Any:
    """The tiny llama that the heads are for."""
    return tiny_llama(0, layers=LAYERS, hidden=HIDDEN)


def ends_of(model: Any) -> tuple[Floats, Floats]:
    """Its embedding and its vocabulary matrix, both `[vocab, hidden]`."""
    return np.array(model.model.embed_tokens.weight, np.float64), np.array(model.lm_head.weight, np.float64)


def drawn(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


def gain(rng: np.random.Generator, width: int = HIDDEN) -> NDArray[np.float32]:
    return (1.0 + 0.3 * rng.standard_normal(width)).astype(np.float32)


def layer(rng: np.random.Generator, prefix: str, width: int) -> dict[str, NDArray[Any]]:
    query, kv = SIZES.heads * SIZES.head_dim, SIZES.kv_heads * SIZES.head_dim
    return {
        f"{prefix}self_attn.q_proj.weight": drawn(rng, query, width),
        f"{prefix}self_attn.k_proj.weight": drawn(rng, kv, width),
        f"{prefix}self_attn.v_proj.weight": drawn(rng, kv, width),
        f"{prefix}self_attn.o_proj.weight": drawn(rng, HIDDEN, query),
        f"{prefix}mlp.gate_proj.weight": drawn(rng, INNER, HIDDEN),
        f"{prefix}mlp.up_proj.weight": drawn(rng, INNER, HIDDEN),
        f"{prefix}mlp.down_proj.weight": drawn(rng, HIDDEN, INNER),
        f"{prefix}post_attention_layernorm.weight": gain(rng),
    }


def write(folder: Path, config: dict[str, Any], weights: dict[str, NDArray[Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(folder / "model.safetensors"), {name: mx.array(value) for name, value in weights.items()})
    return folder


def eagle3(folder: Path, *, seed: int = 0, **config: Any) -> tuple[Path, dict[str, NDArray[Any]]]:
    """As SafeAILab and SpecForge publish EAGLE-3 heads."""
    rng = np.random.default_rng(seed)
    token_ids = np.sort(rng.choice(TINY_VOCAB, DRAFT_VOCAB, replace=False))
    known = np.zeros(TINY_VOCAB, np.bool_)
    known[token_ids] = True
    weights: dict[str, NDArray[Any]] = {
        "fc.weight": drawn(rng, HIDDEN, 3 * HIDDEN),
        "midlayer.hidden_norm.weight": gain(rng),
        "midlayer.input_layernorm.weight": gain(rng),
        **layer(rng, "midlayer.", 2 * HIDDEN),
        "norm.weight": gain(rng),
        "lm_head.weight": 6 * drawn(rng, DRAFT_VOCAB, HIDDEN),
        "d2t": (token_ids - np.arange(DRAFT_VOCAB)).astype(np.int64),
        "t2d": known,
    }
    own = {"architectures": ["LlamaForCausalLMEagle3"], "draft_vocab_size": DRAFT_VOCAB}
    return write(folder, CONFIG | own | config, weights), weights


def eagle1(folder: Path, *, seed: int = 0, bias: bool = True) -> tuple[Path, dict[str, NDArray[Any]]]:
    """As SafeAILab publishes EAGLE-1 heads, with a copy of the target's embedding."""
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[Any]] = {
        "embed_tokens.weight": np.array(target().model.embed_tokens.weight),
        "fc.weight": drawn(rng, HIDDEN, 2 * HIDDEN),
        **({"fc.bias": drawn(rng, HIDDEN)} if bias else {}),
        **layer(rng, "layers.0.", HIDDEN),
    }
    return write(folder, CONFIG | {"architectures": ["LlamaForCausalLM"]}, weights), weights


def medusa(
    folder: Path, *, seed: int = 0, heads: int = 3, blocks: int = 1, prefix: str = ""
) -> tuple[Path, dict[str, NDArray[Any]]]:
    """As FasterDecoding publishes Medusa heads: the weights of a `ModuleList` of `Sequential`s."""
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[Any]] = {}
    for head in range(heads):
        for block in range(blocks):
            weights[f"{prefix}{head}.{block}.linear.weight"] = drawn(rng, HIDDEN, HIDDEN)
            weights[f"{prefix}{head}.{block}.linear.bias"] = drawn(rng, HIDDEN)
        weights[f"{prefix}{head}.{blocks}.weight"] = 6 * drawn(rng, TINY_VOCAB, HIDDEN)
    config = {"medusa_num_heads": heads, "medusa_num_layers": blocks, "base_model_name_or_path": "tiny"}
    return write(folder, config, weights), weights


def dflash(
    folder: Path, *, seed: int = 0, layers: int = 2, block: int = 5, **config: Any
) -> tuple[Path, dict[str, Any]]:
    """As z-lab publishes DFlash drafters."""
    rng = np.random.default_rng(seed)
    taps = [1, 3, 4]
    weights: dict[str, NDArray[Any]] = {
        "fc.weight": drawn(rng, HIDDEN, len(taps) * HIDDEN),
        "hidden_norm.weight": gain(rng),
        "norm.weight": gain(rng),
    }
    for index in range(layers):
        prefix = f"layers.{index}."
        weights |= layer(rng, prefix, HIDDEN)
        weights[f"{prefix}input_layernorm.weight"] = gain(rng)
        weights[f"{prefix}self_attn.q_norm.weight"] = gain(rng, SIZES.head_dim)
        weights[f"{prefix}self_attn.k_norm.weight"] = gain(rng, SIZES.head_dim)
    own = {
        "architectures": ["DFlashDraftModel"],
        "model_type": "qwen3",
        "head_dim": SIZES.head_dim,
        "num_hidden_layers": layers,
        "num_target_layers": LAYERS,
        "block_size": block,
        "dflash_config": {"target_layer_ids": taps, "mask_token_id": TINY_VOCAB - 1},
    }
    return write(folder, CONFIG | own | config, weights), weights
