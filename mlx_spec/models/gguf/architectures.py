"""What sets the architectures of GGUF files apart: the names of their tensors, and what was done to their weights.

Names: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Files of Mistral's models say `llama`, as their
layers are the same.
"""

from dataclasses import dataclass
from typing import Final, Literal

Size = Literal["hidden", "inner", "gate_up", "query", "kv", "qkv", "head"]
Places = dict[str, tuple[str, tuple[Size, ...]]]
"""For a tensor's name in GGUF, its name in mlx-lm and the sizes of its axes, rows first."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """One architecture: `model_type` and `class_name` are mlx-lm's and transformers', `layer` the tensors of a layer.

    `interleaved`: the rows of q and k stand as llama.cpp rotates them, neighbours together. `norm_offset`: what its
    converter added to the weights of norms. `own_head_dim`: heads need not share the hidden size out among them.
    `own_output`: it may have an output matrix of its own.
    """

    model_type: str
    class_name: str
    layer: Places
    interleaved: bool = False
    norm_offset: float = 0.0
    own_head_dim: bool = True
    own_output: bool = True


_NORMS: Final[Places] = {
    "attn_norm.weight": ("input_layernorm.weight", ("hidden",)),
    "ffn_norm.weight": ("post_attention_layernorm.weight", ("hidden",)),
}
_MATRICES: Final[Places] = {
    "attn_q.weight": ("self_attn.q_proj.weight", ("query", "hidden")),
    "attn_k.weight": ("self_attn.k_proj.weight", ("kv", "hidden")),
    "attn_v.weight": ("self_attn.v_proj.weight", ("kv", "hidden")),
    "attn_output.weight": ("self_attn.o_proj.weight", ("hidden", "query")),
    "ffn_gate.weight": ("mlp.gate_proj.weight", ("inner", "hidden")),
    "ffn_up.weight": ("mlp.up_proj.weight", ("inner", "hidden")),
    "ffn_down.weight": ("mlp.down_proj.weight", ("hidden", "inner")),
}
_BIASES: Final[Places] = {
    "attn_q.bias": ("self_attn.q_proj.bias", ("query",)),
    "attn_k.bias": ("self_attn.k_proj.bias", ("kv",)),
    "attn_v.bias": ("self_attn.v_proj.bias", ("kv",)),
}
_HEAD_NORMS: Final[Places] = {
    "attn_q_norm.weight": ("self_attn.q_norm.weight", ("head",)),
    "attn_k_norm.weight": ("self_attn.k_norm.weight", ("head",)),
}
_FOUR_NORMS: Final[Places] = {
    "attn_norm.weight": ("input_layernorm.weight", ("hidden",)),
    "post_attention_norm.weight": ("post_attention_layernorm.weight", ("hidden",)),
    "ffn_norm.weight": ("pre_feedforward_layernorm.weight", ("hidden",)),
    "post_ffw_norm.weight": ("post_feedforward_layernorm.weight", ("hidden",)),
}
# mlx-lm keeps the three of attention, and the two of the feed-forward layer, in one matrix, as the file does.
_FUSED: Final[Places] = {
    "attn_qkv.weight": ("self_attn.qkv_proj.weight", ("qkv", "hidden")),
    "attn_output.weight": ("self_attn.o_proj.weight", ("hidden", "query")),
    "ffn_up.weight": ("mlp.gate_up_proj.weight", ("gate_up", "hidden")),
    "ffn_down.weight": ("mlp.down_proj.weight", ("hidden", "inner")),
}

ARCHITECTURES: Final = {
    "llama": Architecture("llama", "LlamaForCausalLM", _NORMS | _MATRICES, interleaved=True),
    "qwen2": Architecture("qwen2", "Qwen2ForCausalLM", _NORMS | _MATRICES | _BIASES, own_head_dim=False),
    "qwen3": Architecture("qwen3", "Qwen3ForCausalLM", _NORMS | _MATRICES | _HEAD_NORMS),
    "gemma2": Architecture("gemma2", "Gemma2ForCausalLM", _FOUR_NORMS | _MATRICES, norm_offset=1.0, own_output=False),
    "gemma3": Architecture("gemma3_text", "Gemma3ForCausalLM", _FOUR_NORMS | _MATRICES | _HEAD_NORMS, norm_offset=1.0),
    "phi3": Architecture("phi3", "Phi3ForCausalLM", _NORMS | _FUSED, own_head_dim=False),
}
