"""All families of mlx-lm, as small models that are never computed, and the table of how each can be split.

`python -m tests.models.splitting.families` writes it into docs/several-macs.md.
"""

import dataclasses
import importlib
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import mlx.nn as nn
import mlx_lm.models

from mlx_spec.models.splitting.ways import SplitWays, ways_of_model
from tests.zoo_configs import CONFIGS

PAGE: Final = Path(__file__).parents[3] / "docs" / "several-macs.md"
BEGINS: Final = "<!-- families: begin -->\n"
ENDS: Final = "<!-- families: end -->\n"
RANKS: Final = 2
LAYERS: Final = 6

# What families call their sizes; each takes what it knows.
_SIZES: Final[dict[str, Any]] = {
    "hidden_size": 64,
    "n_embd": 64,
    "dim": 64,
    "d_model": 64,
    "model_dim": 64,
    "block_dim": 64,
    "num_hidden_layers": LAYERS,
    "n_layer": LAYERS,
    "n_layers": LAYERS,
    "num_layers": LAYERS,
    "num_transformer_layers": LAYERS,
    "num_attention_heads": 8,
    "n_head": 8,
    "n_heads": 8,
    "num_heads": 8,
    "num_swa_attention_heads": 8,
    "num_key_value_heads": 4,
    "n_kv_heads": 4,
    "num_kv_heads": 4,
    "num_swa_key_value_heads": 4,
    "num_attention_groups": 4,
    "head_dim": 8,
    "head_size": 8,
    "v_head_dim": 8,
    "rotary_dim": 8,
    "kv_channels": 8,
    "intermediate_size": 128,
    "n_inner": 128,
    "ffn_hidden_size": 128,
    "intermediate_size_mlp": 128,
    "block_ff_dim": 128,
    "block_ffn_dim_multiplier": 1.0,
    "block_multiple_of": 8,
    "block_auto_adjust_ff_dim": False,
    "vocab_size": 128,
    "max_position_embeddings": 2048,
    "n_positions": 2048,
    "n_ctx": 2048,
    "block_size": 2048,
    "rms_norm_eps": 1e-5,
    "layer_norm_eps": 1e-5,
    "layer_norm_epsilon": 1e-5,
    "norm_eps": 1e-5,
    "norm_epsilon": 1e-5,
    "rope_theta": 1e4,
    "rotary_emb_base": 10000,
    "rotary_pct": 0.5,
    "partial_rotary_factor": 0.5,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "use_bias": False,
    "use_qkv_bias": False,
    "qkv_bias": False,
    "conv_bias": False,
    "use_conv_bias": True,
    "hidden_act": "silu",
    "sliding_window": 8,
    "sliding_window_size": 8,
    "sliding_window_pattern": 2,
    "use_qk_norm": True,
    "qk_norm": True,
    "post_norm": False,
    "logits_scaling": 1.0,
    "logit_scale": 1.0,
    "attention_multiplier": 0.3,
    "embedding_multiplier": 1.0,
    "residual_multiplier": 1.0,
    "scale_depth": 1.4,
    "scale_emb": 1.0,
    "dim_model_base": 64,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "query_pre_attn_scalar": 8.0,
    "attention_window_size": 8,
    "logits_soft_cap": 30.0,
    "num_experts": 8,
    "num_local_experts": 8,
    "n_routed_experts": 8,
    "moe_num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_topk": 2,
    "moe_k": 2,
    "n_shared_experts": 1,
    "num_shared_experts": 1,
    "num_shared_expert": 1,
    "moe_num_shared_experts": 1,
    "moe_intermediate_size": 64,
    "shared_intermediate_size": 64,
    "shared_expert_intermediate_size": 64,
    "expert_ffn_hidden_size": 64,
    "moe_shared_expert_intermediate_size": 64,
    "first_k_dense_replace": 1,
    "num_dense_layers": 1,
    "moe_layer_freq": 1,
    "moe_layer_interval": 1,
    "moe_layer_start_index": 1,
    "moe_layer_end_index": LAYERS,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "routed_scaling_factor": 1.0,
    "n_group": 1,
    "topk_group": 1,
    "norm_topk_prob": True,
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
    "score_function": "sigmoid",
    "zero_expert_num": 2,
    "zero_expert_type": "identity",
    "use_mixed_mlp_moe": False,
    "cla_share_factor": 1,
    "use_cla": False,
    "interleave_moe_layer_step": 2,
    "use_expert_bias": True,
    "is_moe_layer": [False] + [True] * (LAYERS - 1),
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "mla_scale_q_lora": True,
    "mla_scale_kv_lora": True,
    "index_head_dim": 8,
    "index_n_heads": 4,
    "index_topk": 4,
    "linear_num_value_heads": 8,
    "linear_num_key_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
    "full_attention_interval": 2,
    "layer_group_size": 2,
    "group_norm_size": 2,
    "linear_allow_neg_eigval": False,
    "conv_L_cache": 3,
    "ssm_state_size": 8,
    "mamba_d_state": 8,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
    "mamba_num_heads": 8,
    "mamba_head_dim": 8,
    "mamba_proj_bias": False,
    "mamba_conv_bias": True,
    "n_groups": 1,
    "conv_kernel": 4,
    "hybrid_override_pattern": "M*-" * (LAYERS // 3),
    "state_size": 8,
    "time_step_limit": (0.0, 1e9),
    "time_step_rank": "auto",
    "attn_layer_offset": 1,
    "attn_layer_period": 2,
    "expert_layer_offset": 1,
    "expert_layer_period": 2,
    "layer_types": ["sliding_attention", "full_attention"] * (LAYERS // 2),
    "no_rope_layers": [1] * LAYERS,
    "a_low_rank_dim": 8,
    "v_low_rank_dim": 8,
    "gate_low_rank_dim": 8,
    "decay_low_rank_dim": 8,
    "rope_parameters": {"rope_theta": 1e4, "rope_type": "default", "type": "default"},
    "dense_attention_every_n_layers": 2,
    "ff_intermediate_size": 128,
    "gegelu_limit": 20.0,
    "hybrid_layer_pattern": [0, 1] * (LAYERS // 2),
    "add_swa_attention_sink_bias": False,
    "add_full_attention_sink_bias": False,
    "swa_num_attention_heads": 8,
    "swa_num_key_value_heads": 4,
    "layernorm_epsilon": 1e-5,
    "attention_value_scale": 1.0,
    "attention_method": "MLA",
    "model_max_length": 2048,
    "conv1d_width": 4,
    "attention_chunk_size": 8,
    "num_kv_shared_layers": 0,
    "swa_head_dim": 8,
    "swa_v_head_dim": 8,
    "swa_rope_theta": 1e4,
    "rope_local_base_freq": 1e4,
}
_ROPE: Final[dict[str, Any]] = {"rope_theta": 1e4, "rope_type": "default"}
_BY_KIND: Final = {"rope_parameters": {"sliding_attention": _ROPE, "full_attention": _ROPE}}
# Where one name means another thing.
_OTHERWISE: Final[dict[str, dict[str, Any]]] = {
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * (LAYERS // 2)},
    "lfm2": {"layer_types": ["conv", "full_attention"] * (LAYERS // 2), "full_attn_idxs": None},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * (LAYERS // 2), "full_attn_idxs": None},
    "olmo_hybrid": {"layer_types": ["linear_attention", "full_attention"] * (LAYERS // 2)},
    "deepseek_v2": {"rope_scaling": {"type": "yarn", "factor": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0}},
    "minicpm3": {"rope_scaling": {"type": "su", "short_factor": [1.0] * 4, "long_factor": [1.0] * 4}},
    "minimax_m3_vl": {"moe_layer_freq": [0] + [1] * (LAYERS - 1)},
    "exaone4": {"sliding_window_pattern": "LG"},
    "qwen": {"kv_channels": 8},
    "ministral3": {"rope_parameters": {**_ROPE, "llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 64}},
    "mistral4": {"rope_parameters": {**_ROPE, "llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 64}},
    "hunyuan": {"rope_scaling": {"alpha": 1.0, "factor": 1.0, "type": "dynamic"}},
    "llama4": {"num_experts_per_tok": 1},
    "llama4_text": {"num_experts_per_tok": 1},
    "mimo_v2_flash": {"moe_layer_freq": [0] + [1] * (LAYERS - 1)},
    "recurrent_gemma": {"block_types": ["recurrent", "attention"]},
    "gemma4": _BY_KIND,
    "gemma4_text": _BY_KIND,
    "mellum": _BY_KIND,
}

MEANINGS: Final = {
    "strict (one machine)": "every row has the bits that one machine gives it, on MLX's own CPU arithmetic",
    "strict (alone)": "a row's bits do not depend on the rows beside it, but are not those of one machine",
    "strict (nothing)": "near ties may go otherwise when others stand beside",
    "fast": "sums as mlx-lm adds them",
    "mlx-lm": "the family's own `pipeline()`",
    "stand-ins": "layers of other machines are let through",
    "no": "it was tried, and why it is refused",
    "not tried": "its code wants sizes, packages or a GPU that were not at hand",
    "–": "mlx-lm has no `shard()` for it",
}
"""What a cell may say; the table's legend has those that it does say."""


def families() -> list[str]:
    """The files of mlx-lm's that hold a language model."""
    folder = Path(mlx_lm.models.__file__).parent
    files = ((path.stem, path.read_text("utf-8")) for path in sorted(folder.glob("*.py")))
    return [name for name, text in files if "class ModelArgs" in text and "class Model(" in text]


def module_of(family: str) -> Any:
    """The file of a family. One ends the process where a package of its own is missing."""
    try:
        return importlib.import_module(f"mlx_lm.models.{family}")
    except SystemExit as error:
        raise ImportError(family) from error


def small_model(family: str) -> nn.Module:
    """A model of a family that is not computed. Raises whatever its code does with sizes that it does not know."""
    module = module_of(family)
    model: nn.Module = module.Model(module.ModelArgs.from_dict({"model_type": family, **arguments(family)}))
    return model


def arguments(family: str) -> dict[str, Any]:
    """The sizes of a small model."""
    known = {field.name for field in dataclasses.fields(module_of(family).ModelArgs)}
    sizes = {**_SIZES, **_OTHERWISE.get(family, {})}
    if "text_config" in known and "hidden_size" not in known:
        return {"text_config": {"model_type": family, **sizes}}
    return {name: value for name, value in sizes.items() if name in known}


def of_the_zoo(family: str) -> nn.Module:
    """The same from the sizes that other tests have."""
    sizes = next(sizes for file, sizes in CONFIGS.values() if file == family)
    module = module_of(family)
    model: nn.Module = module.Model(module.ModelArgs.from_dict({"model_type": family, **sizes}))
    return model


def found(family: str) -> SplitWays | None:
    """How a family can be split; None where no small model of it can be made here."""
    for make in (small_model, of_the_zoo):
        try:
            return ways_of_model(lambda make=make: make(family), family, RANKS)
        except Exception:  # noqa: BLE001 - a family's own code, on sizes that were not made for it
            continue
    return None


def has_shard(family: str) -> bool:
    """Whether mlx-lm divides its layers."""
    return hasattr(module_of(family).Model, "shard")


def has_pipeline(family: str) -> bool:
    """Whether mlx-lm gives out its layers."""
    classes = inspect.getmembers(module_of(family), inspect.isclass)
    own = (one for _, one in classes if one.__module__ == module_of(family).__name__)
    return any(hasattr(one, "pipeline") for one in own)


def row(family: str) -> str:
    """One line of the table."""
    try:
        ways = found(family)
        shards, pipelines = has_shard(family), has_pipeline(family)
    except ImportError:
        return f"| {family} | not tried | not tried |"
    if ways is None:
        return f"| {family} | {'not tried' if shards else '–'} | {'mlx-lm, not tried' if pipelines else 'not tried'} |"
    strict, fast, pipeline = ways
    tensor = ", ".join(
        [f"strict ({strict.same_as})"] * strict.is_there + ["fast"] * fast.is_there,
    ) or ("–" if not shards else "no: " + _why(strict.why_not))
    layers = pipeline.by if pipeline.is_there else "no: " + _why(pipeline.why_not)
    return f"| {family} | {tensor} | {layers} |"


def _why(sentence: str | None) -> str:
    return (sentence or "").split("): ", 1)[-1].rstrip(".")


def terms(rows: Iterable[str]) -> list[str]:
    """What the cells of some rows say, in the order of `MEANINGS`. Raises KeyError for what has no meaning."""
    said = {
        part.split(":")[0]
        for line in rows
        for cell in line.strip("| ").split(" | ")[1:]
        for part in ([cell] if cell.startswith("no:") else cell.split(", "))
    }
    if unknown := said - set(MEANINGS):
        raise KeyError(unknown)
    return [term for term in MEANINGS if term in said]


def legend(rows: Iterable[str]) -> str:
    """What they mean."""
    return "".join(f"- **{term}**: {MEANINGS[term]}\n" for term in terms(rows))


def table() -> str:
    """The whole of it, behind its legend."""
    rows = [row(family) for family in families()]
    head = "| family | a part of each layer | whole layers |\n|---|---|---|\n"
    return legend(rows) + "\n" + head + "".join(f"{line}\n" for line in rows)


def main() -> None:
    """Write it."""
    text = PAGE.read_text("utf-8")
    before, rest = text.split(BEGINS)
    _, behind = rest.split(ENDS)
    PAGE.write_text(f"{before}{BEGINS}{table()}{ENDS}{behind}", encoding="utf-8")


if __name__ == "__main__":
    main()
