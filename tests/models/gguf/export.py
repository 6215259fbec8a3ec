"""Random models of mlx-lm as GGUF files, written with the `gguf` library under llama.cpp's names and conventions.

Knows nothing of the importer. Whether the conventions are llama.cpp's is shown by `record_architecture_logits.py`:
llama.cpp itself read these files.
"""

import importlib
import re
from pathlib import Path
from typing import Any, Final

import gguf
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

HIDDEN, LAYERS, HEADS, KV_HEADS, INNER, CONTEXT = 64, 2, 4, 2, 96, 512
TOKENS: Final = 128
_BASE: Final[dict[str, Any]] = {
    "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "intermediate_size": INNER, "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS, "rms_norm_eps": 1e-5, "vocab_size": TOKENS, "max_position_embeddings": CONTEXT,
    "rope_theta": 10000.0, "tie_word_embeddings": False,
}  # fmt: skip
_LLAMA3: Final = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
_LONG: Final = [1.0 + 0.5 * index for index in range(8)]
_LONGROPE: Final = {"type": "longrope", "long_factor": _LONG, "short_factor": [1.0] * 8}
_GEMMA3: Final = {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 8, "sliding_window_pattern": 3}

# Name of a case: GGUF's architecture, mlx-lm's module, and what its configuration has besides.
CASES: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "llama": ("llama", "llama", {}),
    "llama-3.1": ("llama", "llama", {"rope_theta": 500000.0, "rope_scaling": _LLAMA3}),
    "mistral": ("llama", "llama", {"head_dim": 32, "rope_theta": 1000000.0}),
    "qwen2": ("qwen2", "qwen2", {"rope_theta": 1000000.0}),
    "qwen2-tied": ("qwen2", "qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", "qwen3", {"head_dim": 32, "tie_word_embeddings": True}),
    "qwen3-yarn": (
        "qwen3", "qwen3",
        {"head_dim": 32, "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}},
    ),
    "gemma2": (
        "gemma2", "gemma2",
        {"head_dim": 32, "query_pre_attn_scalar": 32, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0},
    ),
    "gemma3": ("gemma3", "gemma3_text", _GEMMA3 | {"num_hidden_layers": 4, "rope_local_base_freq": 5000.0}),
    "gemma3-4b": (
        "gemma3", "gemma3_text",
        _GEMMA3 | {"num_hidden_layers": 3, "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
    ),
    "phi3": ("phi3", "phi3", {}),
    "phi3-long": ("phi3", "phi3", {"rope_scaling": _LONGROPE, "original_max_position_embeddings": 128}),
    "phi4-mini": ("phi3", "phi3", {"partial_rotary_factor": 0.75, "tie_word_embeddings": True}),
}  # fmt: skip

_NAMES: Final = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
_GEMMA_NAMES: Final = {
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}  # fmt: skip


def source_model(case: str, seed: int = 0, *, change: dict[str, Any] | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """A random float32 model with its configuration; the same numbers on every machine, as NumPy draws them."""
    _, module_name, more = CASES[case]
    config = {"model_type": module_name, **_BASE, **more, **(change or {})}
    module = importlib.import_module(f"mlx_lm.models.{module_name}")
    model = module.Model(module.ModelArgs.from_dict(config))
    random = np.random.default_rng(seed)
    drawn = []
    for name, value in sorted(tree_flatten(model.parameters())):
        spread = 0.1 if value.ndim == 1 else 2.0 * value.shape[-1] ** -0.5
        centre = 1.0 if value.ndim == 1 and "norm" in name and "gemma" not in module_name else 0.0
        numbers = random.normal(centre, spread, value.shape).astype(np.float16)
        drawn.append((name, mx.array(numbers.astype(np.float32))))
    model.update(tree_unflatten(drawn))
    mx.eval(model.parameters())
    return model, config


def export(
    case: str,
    path: Path,
    *,
    kind: str = "F32",
    tokenizer: dict[str, Any] | None = None,
    fields: dict[str, Any] | None = None,
    rename: dict[str, str] | None = None,
    leave_out: str = "",
) -> nn.Module:
    """Write a case's model to `path`, matrices in the quantisation `kind`, and return the model as it was.

    `tokenizer` replaces that of `byte_tokens`; `fields`, `rename` and `leave_out` spoil the file.
    """
    model, config = source_model(case)
    architecture = CASES[case][0]
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in (_settings(architecture, config) | (fields or {})).items():
        _add(writer, key, value)
    for key, value in (tokenizer or byte_tokens()).items():
        _add(writer, f"tokenizer.{key}" if key == "chat_template" else f"tokenizer.ggml.{key}", value)
    for name, tensor in _tensors(architecture, model, config):
        stored = (rename or {}).get(name, name)
        if name == leave_out:
            continue
        if tensor.ndim == 1:
            writer.add_tensor(stored, tensor)
        else:
            quantisation = gguf.GGMLQuantizationType[kind]
            writer.add_tensor(stored, gguf.quants.quantize(tensor, quantisation), raw_dtype=quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def byte_tokens() -> dict[str, Any]:
    """A tokenizer of `TOKENS` tokens, of which the logits do not depend."""
    tokens = ["<|endoftext|>", "t", "1", *(f"t{index}" for index in range(TOKENS - 3))]
    return {
        "model": "gpt2", "pre": "gpt-2", "tokens": tokens, "merges": ["t 1"], "eos_token_id": 0, "bos_token_id": 0,
        "token_type": [3] + [1] * (TOKENS - 1), "add_bos_token": False,
    }  # fmt: skip


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    """Integers as uint32, as llama.cpp has them."""
    kinds = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    kinds.get(type(value), writer.add_array)(key, value)


def _settings(architecture: str, config: dict[str, Any]) -> dict[str, Any]:
    head_dim = config.get("head_dim", HIDDEN // HEADS)
    fields: dict[str, Any] = {
        "context_length": CONTEXT, "embedding_length": HIDDEN, "block_count": config["num_hidden_layers"],
        "feed_forward_length": INNER, "attention.head_count": HEADS, "attention.head_count_kv": KV_HEADS,
        "attention.layer_norm_rms_epsilon": 1e-5, "attention.key_length": head_dim, "attention.value_length": head_dim,
        "rope.freq_base": config["rope_theta"],
        "rope.dimension_count": int(head_dim * config.get("partial_rotary_factor", 1.0)),
    }  # fmt: skip
    if architecture == "gemma2":
        fields |= {key: config[key] for key in ("attn_logit_softcapping", "final_logit_softcapping")}
        fields["attention.sliding_window"] = 4096
    if architecture == "gemma3":
        fields["attention.sliding_window"] = config["sliding_window"]
        fields["attention.sliding_window_pattern"] = config["sliding_window_pattern"]
        fields["rope.freq_base_swa"] = config.get("rope_local_base_freq", 10000.0)
    scaling = config.get("rope_scaling", {})
    kind = scaling.get("rope_type") or scaling.get("type")
    if kind in ("linear", "yarn"):
        fields |= {"rope.scaling.type": kind, "rope.scaling.factor": scaling["factor"]}
    original = (
        scaling.get("original_max_position_embeddings")
        if kind == "yarn"
        else config.get("original_max_position_embeddings")
    )
    if original:
        fields["rope.scaling.original_context_length"] = original
    if kind == "longrope":
        stretch = CONTEXT / config["original_max_position_embeddings"]
        magnitude = (1 + np.log(stretch) / np.log(config["original_max_position_embeddings"])) ** 0.5
        fields["rope.scaling.attn_factor"] = float(magnitude)
    return {f"{architecture}.{key}": value for key, value in fields.items()}


def _tensors(architecture: str, model: nn.Module, config: dict[str, Any]) -> list[tuple[str, np.ndarray]]:
    names = _NAMES | (_GEMMA_NAMES if "gemma" in architecture else {})
    found = []
    for name, value in tree_flatten(model.parameters()):
        tensor = np.array(value)
        layer = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
        outer = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
        if layer:
            stem = names[layer[2]]
            target = f"blk.{layer[1]}.{stem}.{layer[3]}"
        else:
            stem = outer[name.rpartition(".")[0]]
            target = f"{stem}.weight"
        if architecture == "llama" and stem in ("attn_q", "attn_k"):
            heads = HEADS if stem == "attn_q" else KV_HEADS
            tensor = tensor.reshape(heads, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
        if "gemma" in architecture and stem.endswith("norm"):
            tensor = tensor + 1
        found.append((target, tensor))
    scaling = config.get("rope_scaling", {})
    if scaling.get("rope_type") == "llama3":
        found.append(("rope_freqs.weight", _llama3_factors(config)))
    if scaling.get("type") == "longrope":
        found += [
            (f"rope_factors_{length}.weight", np.array(scaling[f"{length}_factor"], np.float32))
            for length in ("long", "short")
        ]
    return found


def _llama3_factors(config: dict[str, Any]) -> np.ndarray:
    """Llama 3.1's own rule, from its paper's code: long waves are stretched, short ones kept, the others between."""
    scaling, width = config["rope_scaling"], HIDDEN // HEADS
    factors = []
    for column in range(0, width, 2):
        wave = 2 * np.pi * config["rope_theta"] ** (column / width)
        turns = scaling["original_max_position_embeddings"] / wave
        if turns < scaling["low_freq_factor"]:
            factors.append(scaling["factor"])
        elif turns > scaling["high_freq_factor"]:
            factors.append(1.0)
        else:
            share = (turns - scaling["low_freq_factor"]) / (scaling["high_freq_factor"] - scaling["low_freq_factor"])
            factors.append(1 / ((1 - share) / scaling["factor"] + share))
    return np.array(factors, np.float32)
