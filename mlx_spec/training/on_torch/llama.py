"""A llama in PyTorch: the optional fast path on CPUs with bfloat16 matrix units (AMX), where MLX has none.

Reads and writes the same Hugging Face parameter names as mlx-lm. Imported only when `--trainer torch` asks for it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlx_spec.errors import TrainingError
from mlx_spec.training.initial import Weights

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, queries, keys, values) → what each query reads, all `[..., heads, head_dim]`."""


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root-mean-square norm over the last axis."""
    return F.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), eps)


def rotation(positions: Tensor, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[n, 1, head_dim]` for positions `[n]`, in the half-split layout of Hugging Face."""
    rates = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angles = positions.float()[:, None] * rates
    angles = torch.cat([angles, angles], -1)[:, None]
    return angles.cos(), angles.sin()


def base_of(config: dict[str, Any]) -> float:
    """The base that `rotation` turns by. Raises TrainingError for positions that are scaled, which it cannot do."""
    scaling = config.get("rope_scaling") or {}
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind != "default":
        raise TrainingError(f"The PyTorch trainer cannot scale positions by {kind!r}: use --trainer mlx.")
    return float(config.get("rope_theta") or 10000.0)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply the rotary embedding to `[n, heads, head_dim]`."""
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], -1)
    return x * cos.to(x.dtype) + turned * sin.to(x.dtype)


class Layer(nn.Module):  # type: ignore[misc]  # torch is optional: mypy sees Any
    """The seven matrices and two norms of one llama layer, with mlx-lm's names."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        hidden, head_dim = config["hidden_size"], config["head_dim"]
        query, kv = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
        self.self_attn = nn.ModuleDict(
            {
                "q_proj": nn.Linear(hidden, query, bias=False),
                "k_proj": nn.Linear(hidden, kv, bias=False),
                "v_proj": nn.Linear(hidden, kv, bias=False),
                "o_proj": nn.Linear(query, hidden, bias=False),
            }
        )
        inner = config["intermediate_size"]
        self.mlp = nn.ModuleDict(
            {
                "gate_proj": nn.Linear(hidden, inner, bias=False),
                "up_proj": nn.Linear(hidden, inner, bias=False),
                "down_proj": nn.Linear(inner, hidden, bias=False),
            }
        )
        self.input_layernorm = nn.RMSNorm(hidden, eps=config["rms_norm_eps"])
        self.post_attention_layernorm = nn.RMSNorm(hidden, eps=config["rms_norm_eps"])


class TorchLlama(nn.Module):  # type: ignore[misc]
    """A llama with tied embeddings over a flat run of tokens; how they attend to each other is the caller's
    `attend`."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.model.layers = nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"]))
        self.model.norm = nn.RMSNorm(config["hidden_size"], eps=config["rms_norm_eps"])

    @property
    def embeddings(self) -> Tensor:
        """The tied embedding matrix `[vocab, hidden]`."""
        return self.model.embed_tokens.weight

    def forward(
        self, ids: Tensor, positions: Tensor, attend: Attend, watch: Callable[[int, Tensor], None] | None = None
    ) -> Tensor:
        """Final hidden states `[n, hidden]`, after the last norm, of ids `[n]` at positions `[n]`. `watch` is shown
        each layer's number and output `[n, hidden]`."""
        config, eps = self.config, self.config["rms_norm_eps"]
        head_dim = config["head_dim"]
        cos, sin = rotation(positions, head_dim, base_of(config))
        dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else self.embeddings.dtype
        x = F.embedding(ids, self.embeddings).to(dtype)
        for index, layer in enumerate(self.model.layers):
            normed = rms_norm(x, layer.input_layernorm.weight, eps)
            attention = layer.self_attn
            q, k, v = (attention[name](normed).unflatten(-1, (-1, head_dim)) for name in ("q_proj", "k_proj", "v_proj"))
            read = attend(index, rotate(q, cos, sin), rotate(k, cos, sin), v)
            x = x + attention["o_proj"](read.flatten(-2))
            normed = rms_norm(x, layer.post_attention_layernorm.weight, eps)
            mlp = layer.mlp
            x = x + mlp["down_proj"](F.silu(mlp["gate_proj"](normed)) * mlp["up_proj"](normed))
            if watch is not None:
                watch(index, x)
        return rms_norm(x, self.model.norm.weight, eps)


def torch_llama(config: dict[str, Any], weights: Weights) -> TorchLlama:
    """A model with the given weights, in float32."""
    model = TorchLlama(config)
    model.load_state_dict({name: torch.from_numpy(weight.copy()) for name, weight in weights.items()})
    return model
