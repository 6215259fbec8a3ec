"""What the zoo's models are made of: for each architecture its file in mlx-lm, and the smallest arguments it takes."""

from typing import Any, Final

VOCAB: Final = 128
WINDOW: Final = 8

_ATTENTION: Final[dict[str, Any]] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "rms_norm_eps": 1e-5,
    "vocab_size": VOCAB,
    "max_position_embeddings": 2048,
    "rope_theta": 10000.0,
}
_SLIDING: Final = ["sliding_attention", "full_attention"]
_MAMBA2: Final[dict[str, Any]] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "num_heads": 4,
    "head_dim": 16,
    "state_size": 8,
    "conv_kernel": 4,
    "n_groups": 1,
    "use_bias": False,
    "use_conv_bias": True,
    "tie_word_embeddings": False,
    "time_step_limit": (0.0, float("inf")),
    "time_step_rank": "auto",
    "layer_norm_epsilon": 1e-5,
    "vocab_size": VOCAB,
}
_MLA: Final[dict[str, Any]] = {
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
_DEEPSEEK: Final[dict[str, Any]] = {
    **_ATTENTION,
    **_MLA,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 24,
    "n_shared_experts": 1,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
}
_LONGCAT: Final[dict[str, Any]] = {
    **_ATTENTION,
    **_MLA,
    "ffn_hidden_size": 48,
    "moe_topk": 2,
    "expert_ffn_hidden_size": 24,
    "n_routed_experts": 4,
    "zero_expert_num": 2,
    "num_layers": 2,
    "routed_scaling_factor": 1.0,
    "mla_scale_q_lora": True,
    "mla_scale_kv_lora": True,
}

# name: (module of mlx_lm.models, the arguments that differ from _ATTENTION or replace it)
CONFIGS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "llama": ("llama", _ATTENTION),
    "qwen2": ("qwen2", _ATTENTION),
    "qwen3": ("qwen3", {**_ATTENTION, "tie_word_embeddings": False}),
    # mlx-lm runs Mistral's files through its llama; these two keys make its layers slide.
    "mistral": ("llama", {**_ATTENTION, "layer_types": _SLIDING, "sliding_window": WINDOW}),
    "ministral3": (
        "ministral3",
        {
            **_ATTENTION,
            "layer_types": _SLIDING,
            "sliding_window": WINDOW,
            "rope_parameters": {
                "rope_theta": 10000.0,
                "rope_type": "default",
                "llama_4_scaling_beta": 0.1,
                "original_max_position_embeddings": 2048,
            },
        },
    ),
    "gemma2": ("gemma2", _ATTENTION),
    "gemma3": (
        "gemma3_text",
        {**_ATTENTION, "num_hidden_layers": 3, "sliding_window": WINDOW, "sliding_window_pattern": 3},
    ),
    "gpt_oss": (
        "gpt_oss",
        {
            **_ATTENTION,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": WINDOW,
            "layer_types": _SLIDING,
        },
    ),
    "phi3": ("phi3", _ATTENTION),
    "mixtral": ("mixtral", {**_ATTENTION, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen3_moe": (
        "qwen3_moe",
        {
            **_ATTENTION,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "moe_intermediate_size": 24,
            "tie_word_embeddings": False,
            "norm_topk_prob": True,
        },
    ),
    "deepseek_v3": ("deepseek_v3", _DEEPSEEK),
    "deepseek_v32": (
        "deepseek_v32",
        {**_DEEPSEEK, "index_head_dim": 16, "index_n_heads": 2, "index_topk": 24},
    ),
    "deepseek_v41": (
        "deepseek_v41",
        {
            **_ATTENTION,
            "head_dim": 32,
            "q_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "o_groups": 2,
            "o_lora_rank": 8,
            "moe_intermediate_size": 24,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "rms_norm_eps": 1e-6,
            "sliding_window": WINDOW,
            "compress_ratios": [0, 4],
            "kv_source_layer_ids": [1],
            "index_source_layer_ids": [1],
            "index_n_heads": 2,
            "index_head_dim": 32,
            "index_topk": 8,
            "hc_mult": 2,
            "hc_sinkhorn_iters": 2,
            "rope_scaling": {"factor": 1.0, "original_max_position_embeddings": 2048},
        },
    ),
    "mamba": (
        "mamba",
        {
            "vocab_size": VOCAB,
            "hidden_size": 32,
            "intermediate_size": 64,
            "state_size": 8,
            "num_hidden_layers": 2,
            "conv_kernel": 4,
            "use_bias": False,
            "use_conv_bias": True,
            "time_step_rank": 2,
        },
    ),
    "mamba2": ("mamba2", _MAMBA2),
    "qwen3_next": (
        "qwen3_next",
        {
            **_ATTENTION,
            "linear_num_value_heads": 4,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 32,  # its Metal kernel wants a multiple of 32
            "linear_value_head_dim": 8,
            "linear_conv_kernel_dim": 4,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "decoder_sparse_step": 1,
            "shared_expert_intermediate_size": 24,
            "mlp_only_layers": [],
            "moe_intermediate_size": 24,
            "partial_rotary_factor": 0.5,
            "full_attention_interval": 2,
        },
    ),
    "nemotron_h": (
        "nemotron_h",
        {
            **_ATTENTION,
            "attention_bias": False,
            "mamba_num_heads": 4,
            "mamba_head_dim": 16,
            "mamba_proj_bias": False,
            "ssm_state_size": 8,
            "conv_kernel": 4,
            "n_groups": 1,
            "mlp_bias": False,
            "layer_norm_epsilon": 1e-5,
            "use_bias": False,
            "use_conv_bias": True,
            "hybrid_override_pattern": ["M", "-", "*", "M"],
        },
    ),
    "falcon_h1": (
        "falcon_h1",
        {
            **_ATTENTION,
            "mamba_d_ssm": 64,
            "mamba_d_state": 8,
            "mamba_d_head": 16,
            "mamba_n_heads": 4,
            "lm_head_multiplier": 6.0,
        },
    ),
    "recurrent_gemma": (
        "recurrent_gemma",
        {
            **_ATTENTION,
            "num_key_value_heads": 1,
            "attention_bias": False,
            "conv1d_width": 4,
            "logits_soft_cap": 30.0,
            "attention_window_size": WINDOW,
            "block_types": ["recurrent", "attention"],
        },
    ),
    "baichuan_m1": (
        "baichuan_m1",
        {
            **_ATTENTION,
            "sliding_window": WINDOW,
            "sliding_window_layers": [0],
            "conv_window": 2,
            "num_swa_attention_heads": 4,
            "num_swa_key_value_heads": 2,
        },
    ),
    "lfm2": (
        "lfm2",
        {
            **_ATTENTION,
            "norm_eps": 1e-5,
            "conv_bias": False,
            "conv_L_cache": 6,
            "block_dim": 32,
            "block_multiple_of": 16,
            "block_ffn_dim_multiplier": 1.0,
            "block_auto_adjust_ff_dim": False,
            "num_hidden_layers": 3,
            "layer_types": ["conv", "full_attention", "conv"],
        },
    ),
    "llama4": (
        "llama4",
        {
            "text_config": {
                **_ATTENTION,
                "num_hidden_layers": 4,
                "model_type": "llama4_text",
                "attention_bias": False,
                "attention_chunk_size": WINDOW,
                "interleave_moe_layer_step": 2,
                "intermediate_size_mlp": 48,
                "num_experts_per_tok": 1,
                "num_local_experts": 2,
                "rope_scaling": None,
                "use_qk_norm": True,
            }
        },
    ),
    "longcat_flash": ("longcat_flash_ngram", _LONGCAT),
    "afm7": (
        "afm7",
        {
            "vocab_size": VOCAB,
            "hidden_dim": 32,
            "num_layers": 2,
            "num_kv_reuse_layers": 1,
            "num_heads": 4,
            "num_kv_heads": 2,
        },
    ),
}

# Heads as wide as the narrowest that keys and values in fewer bits can have: 2 of 32 in the place of 4 of 8.
_WIDE: Final[dict[str, Any]] = {
    "hidden_size": 64,
    "hidden_dim": 64,
    "num_attention_heads": 2,
    "num_swa_attention_heads": 2,
    "num_key_value_heads": 1,
    "num_swa_key_value_heads": 1,
    "num_kv_heads": 1,
    "head_dim": 32,
    "index_head_dim": 32,
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 32,
}


def widened(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an architecture's model with heads of 32 numbers."""
    if "text_config" in arguments:
        return {"text_config": widened(arguments["text_config"])}
    if "num_attention_heads" not in arguments and "num_kv_heads" not in arguments:
        return arguments  # no attention
    wide = arguments | {key: value for key, value in _WIDE.items() if key in arguments}
    if "num_kv_heads" in arguments:
        return wide | {"num_heads": 2}
    if "kv_lora_rank" in arguments:
        return wide | {"num_key_value_heads": 2}
    return wide | ({"block_dim": 64} if "block_dim" in arguments else {})
