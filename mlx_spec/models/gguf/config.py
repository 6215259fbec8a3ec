"""mlx-lm's `config.json` for the model in a GGUF file."""

from typing import Any, Final

from mlx_spec.errors import UnsupportedModelError
from mlx_spec.models.gguf.header import GGUFHeader
from mlx_spec.models.gguf.rope import rope_settings
from mlx_spec.models.gguf.shape import ModelShape
from mlx_spec.models.gguf.tokens import end_token_ids

# The largest Gemma shares the hidden size out among the heads to scale attention; the others take a head's columns.
_LARGEST_GEMMA_LAYERS: Final = {"gemma2": 46, "gemma3": 62}
_GEMMA3_PATTERN: Final = 6


def model_config(header: GGUFHeader, shape: ModelShape, dtype: str) -> dict[str, Any]:
    """Return the configuration; `dtype` names the weights' precision, as in "float32".

    Raises UnsupportedModelError for settings that mlx-lm's architecture lacks.
    """
    name = header.text("general.architecture")
    config = {
        "architectures": [shape.architecture.class_name],
        "model_type": shape.architecture.model_type,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "rms_norm_eps": header.number(f"{name}.attention.layer_norm_rms_epsilon"),
        "vocab_size": shape.rows,
        "max_position_embeddings": header.integer(f"{name}.context_length"),
        "tie_word_embeddings": "output.weight" not in header.tensors,
        "bos_token_id": header.metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": end_token_ids(header),
        "torch_dtype": dtype,
    }
    config |= rope_settings(header, shape)
    if name == "gemma2":
        config |= _gemma2(header, shape)
    elif name == "gemma3":
        config |= _gemma3(header, shape)
    return config


def _gemma2(header: GGUFHeader, shape: ModelShape) -> dict[str, Any]:
    return {
        "attn_logit_softcapping": header.number("gemma2.attn_logit_softcapping", 50.0),
        "final_logit_softcapping": header.number("gemma2.final_logit_softcapping", 30.0),
        "query_pre_attn_scalar": _attention_scalar("gemma2", shape),
    }


def _gemma3(header: GGUFHeader, shape: ModelShape) -> dict[str, Any]:
    if header.number("gemma3.final_logit_softcapping", 0.0):
        raise UnsupportedModelError(f"{header.path} caps its logits, which mlx-lm's gemma3 does not.")
    window = header.integer("gemma3.attention.sliding_window", 0)
    return {
        "sliding_window": window,
        "sliding_window_pattern": _pattern(header, shape) if window else 1,
        "rope_local_base_freq": header.number("gemma3.rope.freq_base_swa", 10000.0),
        "query_pre_attn_scalar": _attention_scalar("gemma3", shape),
    }


def _attention_scalar(name: str, shape: ModelShape) -> int:
    return shape.hidden // shape.heads if shape.layers == _LARGEST_GEMMA_LAYERS[name] else shape.head_dim


def _pattern(header: GGUFHeader, shape: ModelShape) -> int:
    """Every how many layers one sees the whole text; the file has that number, or whether each layer slides."""
    key = "gemma3.attention.sliding_window_pattern"
    if not isinstance(header.metadata.get(key), list):
        return header.integer(key, _GEMMA3_PATTERN)
    slides = [bool(value) for value in header.integers(key)]
    period = slides.index(False) + 1 if False in slides else len(slides) + 1
    if slides != [(layer + 1) % period != 0 for layer in range(shape.layers)]:
        raise UnsupportedModelError(
            f"{header.path} slides in no regular pattern of layers, which mlx-lm's gemma3 wants."
        )
    return period
