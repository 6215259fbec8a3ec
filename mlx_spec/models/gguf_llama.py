"""What a llama model in a GGUF file must hold: its configuration, and the name and shape of each of its tensors."""

from dataclasses import dataclass
from typing import Any, Final

from mlx_spec.errors import CorruptModelError, UnsupportedModelError
from mlx_spec.models.gguf_header import GGUFHeader
from mlx_spec.models.gguf_tokenizer import end_token_ids

_ARCHITECTURE: Final = "llama"


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """The numbers that the shapes of all tensors follow from."""

    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    rows: int


def read_shape(header: GGUFHeader) -> LlamaShape:
    """Read the shape, and check every tensor against it.

    Raises UnsupportedModelError for another architecture, rope scaling or tensors that a llama of mlx-lm lacks,
    CorruptModelError for numbers that contradict each other or the tensors.
    """
    architecture, scaling = header.text("general.architecture"), header.text("llama.rope.scaling.type", "none")
    if architecture != _ARCHITECTURE:
        raise UnsupportedModelError(f"{header.path} is a '{architecture}' model, and GGUF import knows only 'llama'.")
    if scaling != "none":
        raise UnsupportedModelError(f"{header.path} needs rope scaling of the kind '{scaling}', which is not known.")
    hidden, heads = header.integer("llama.embedding_length"), header.integer("llama.attention.head_count")
    head_dim = header.integer("llama.attention.key_length", hidden // max(heads, 1))
    shape = LlamaShape(
        hidden=hidden,
        inner=header.integer("llama.feed_forward_length"),
        layers=header.integer("llama.block_count"),
        heads=heads,
        kv_heads=header.integer("llama.attention.head_count_kv", heads),
        head_dim=head_dim,
        rows=len(header.texts("tokenizer.ggml.tokens")),
    )
    if min(shape.heads, shape.kv_heads, head_dim) < 1 or heads % shape.kv_heads or shape.layers > len(header.tensors):
        raise CorruptModelError(f"{header.path} contradicts itself: {shape}.")
    if header.integer("llama.rope.dimension_count", head_dim) != head_dim or head_dim % 2:
        raise UnsupportedModelError(f"{header.path} rotates only a part of each attention head, which is not known.")
    _check_tensors(header, shape)
    return shape


def tensor_places(shape: LlamaShape) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return, for every tensor's name in GGUF, its name in mlx-lm and its shape (rows first)."""
    hidden, query_rows, kv_rows = shape.hidden, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    layer: dict[str, tuple[str, tuple[int, ...]]] = {
        "attn_norm": ("input_layernorm", (hidden,)),
        "attn_q": ("self_attn.q_proj", (query_rows, hidden)),
        "attn_k": ("self_attn.k_proj", (kv_rows, hidden)),
        "attn_v": ("self_attn.v_proj", (kv_rows, hidden)),
        "attn_output": ("self_attn.o_proj", (hidden, query_rows)),
        "ffn_norm": ("post_attention_layernorm", (hidden,)),
        "ffn_gate": ("mlp.gate_proj", (shape.inner, hidden)),
        "ffn_up": ("mlp.up_proj", (shape.inner, hidden)),
        "ffn_down": ("mlp.down_proj", (hidden, shape.inner)),
    }
    places: dict[str, tuple[str, tuple[int, ...]]] = {
        "token_embd.weight": ("model.embed_tokens.weight", (shape.rows, hidden)),
        "output_norm.weight": ("model.norm.weight", (hidden,)),
        "output.weight": ("lm_head.weight", (shape.rows, hidden)),
    }
    for index in range(shape.layers):
        for name, (target, size) in layer.items():
            places[f"blk.{index}.{name}.weight"] = (f"model.layers.{index}.{target}.weight", size)
    return places


def _check_tensors(header: GGUFHeader, shape: LlamaShape) -> None:
    places = tensor_places(shape)
    for name, info in header.tensors.items():
        if name not in places:
            raise UnsupportedModelError(f"{header.path} has the tensor {name}, which the import does not know.")
        if info.shape != places[name][1]:
            raise CorruptModelError(
                f"{header.path} contradicts itself: {name} has the shape {info.shape} instead of {places[name][1]}."
            )
    missing = places.keys() - header.tensors.keys() - {"output.weight"}  # Without it, the embedding serves twice.
    if missing:
        raise CorruptModelError(f"{header.path} lacks the tensor {min(missing)}.")


def model_config(header: GGUFHeader, shape: LlamaShape, dtype: str) -> dict[str, Any]:
    """Return mlx-lm's `config.json` for the file. `dtype` names the weights' precision, as in "float32"."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": _ARCHITECTURE,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "rms_norm_eps": header.number("llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": header.number("llama.rope.freq_base", 10000.0),
        "vocab_size": shape.rows,
        "max_position_embeddings": header.integer("llama.context_length"),
        "tie_word_embeddings": "output.weight" not in header.tensors,
        "bos_token_id": header.metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": end_token_ids(header),
        "torch_dtype": dtype,
    }
