"""Families of mlx-lm as their configurations told of positions before transformers 5, and the table it writes now.

One of each way that mlx-lm 0.32.2 reads them: by which fields, with which of them required.
"""

from typing import Any, Final

_SIZES: Final[dict[str, Any]] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "rms_norm_eps": 1e-5,
    "layer_norm_eps": 1e-5,
    "norm_eps": 1e-5,
    "vocab_size": 64,
    "max_position_embeddings": 256,
    "attention_bias": False,
    "mlp_bias": False,
    "use_qkv_bias": False,
    "use_bias": False,
    "tie_word_embeddings": True,
    "sliding_window": 16,
    "rope_theta": 500000.0,
}
_YARN: Final = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
_NEW_YARN: Final = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 500000.0}
_PLAIN: Final = {"rope_type": "default", "rope_theta": 500000.0}
_LINEAR: Final = {"type": "linear", "factor": 8.0}
_LONG: Final = {
    "type": "longrope",
    "short_factor": [1.0] * 4,
    "long_factor": [1.5, 2.0, 3.0, 4.0],
    "short_mscale": 1.1,
    "long_mscale": 1.2,
    "original_max_position_embeddings": 64,
}
_LLAMA3: Final = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_LAYERS: Final = ["sliding_attention", "full_attention"]
_MOE: Final = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "num_local_experts": 4,
    "moe_intermediate_size": 24,
    "decoder_sparse_step": 1,
    "norm_topk_prob": True,
    "mlp_only_layers": [],
    "shared_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
}
_BY_LAYER: Final = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 500000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 7000.0},
}


def _family(model_type: str, table: dict[str, Any], **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"model_type": model_type, **_SIZES, **fields}, table


ROPE_CONFIGS: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "llama": _family("llama", _PLAIN),
    "llama, llama3": _family("llama", _LLAMA3 | {"rope_theta": 500000.0}, rope_scaling=_LLAMA3),
    "mistral, yarn": _family("mistral", _NEW_YARN, rope_scaling=_YARN),
    "qwen2, yarn": _family("qwen2", _NEW_YARN, rope_scaling=_YARN),
    "qwen2, mrope": _family("qwen2", _PLAIN | {"mrope_section": [1, 1, 2]}),
    "qwen3": _family("qwen3", _PLAIN),
    "qwen3, yarn": _family("qwen3", _NEW_YARN, rope_scaling=_YARN),
    "qwen3_moe": _family("qwen3_moe", _PLAIN, **_MOE),
    "seed_oss, yarn": _family("seed_oss", _NEW_YARN, rope_scaling=_YARN),
    "smollm3": _family("smollm3", _PLAIN),
    "starcoder2": _family("starcoder2", _PLAIN),
    "cohere": _family("cohere", _PLAIN),
    "cohere2": _family("cohere2", _PLAIN),
    "gemma": _family("gemma", _PLAIN),
    "gemma2": _family("gemma2", _PLAIN),
    "gemma3": _family(
        "gemma3_text",
        _BY_LAYER,
        rope_scaling=_LINEAR,
        rope_local_base_freq=7000.0,
        sliding_window_pattern=2,
    ),
    "plamo3": _family("plamo3", {**_BY_LAYER, "full_attention": _PLAIN}, rope_local_theta=7000.0),
    "granite": _family(
        "granite",
        _PLAIN,
        logits_scaling=1.0,
        attention_multiplier=1.0,
        embedding_multiplier=1.0,
        residual_multiplier=1.0,
    ),
    "stablelm": _family("stablelm", _PLAIN | {"partial_rotary_factor": 0.5}, partial_rotary_factor=0.5),
    "phi": _family("phi", _PLAIN | {"partial_rotary_factor": 0.5}, partial_rotary_factor=0.5),
    "nemotron": _family("nemotron", _PLAIN | {"partial_rotary_factor": 0.5}, partial_rotary_factor=0.5, hidden_act="x"),
    "glm4": _family("glm4", _PLAIN | {"partial_rotary_factor": 0.5}, partial_rotary_factor=0.5),
    "gpt_neox": _family(
        "gpt_neox", _PLAIN | {"partial_rotary_factor": 0.25}, rotary_emb_base=500000.0, rotary_pct=0.25
    ),
    "minimax": _family("minimax", _PLAIN | {"partial_rotary_factor": 0.5}, rotary_dim=4, **_MOE),
    "phi3": _family("phi3", _PLAIN),
    "phi3, longrope": _family("phi3", _LONG | {"rope_type": "longrope", "rope_theta": 500000.0}, rope_scaling=_LONG),
    "phimoe": _family("phimoe", _LONG | {"rope_type": "longrope", "rope_theta": 500000.0}, rope_scaling=_LONG, **_MOE),
    "exaone4": _family("exaone4", _PLAIN, rope_scaling=None, sliding_window_pattern="LG"),
    "olmo2": _family("olmo2", _PLAIN),
    "olmo3": _family(
        "olmo3",
        {"sliding_attention": _PLAIN, "full_attention": _NEW_YARN},
        rope_scaling=_YARN,
        layer_types=_LAYERS,
    ),
    "mixtral": _family("mixtral", _PLAIN, **_MOE),
    "gpt_oss, yarn": _family("gpt_oss", _NEW_YARN, rope_scaling=_YARN, **_MOE),
    "helium": _family("helium", _PLAIN),
    "ernie4_5": _family("ernie4_5", _PLAIN),
    "hunyuan, dense": _family("hunyuan_v1_dense", _PLAIN, rope_scaling=None),
    "lfm2": _family(
        "lfm2",
        _PLAIN,
        full_attn_idxs=[0, 1],
        conv_bias=False,
        conv_L_cache=3,
        block_dim=32,
        block_ff_dim=48,
        block_multiple_of=8,
        block_ffn_dim_multiplier=1.0,
        block_auto_adjust_ff_dim=True,
    ),
}
