"""A draft's starting weights, cut out of the target. NumPy only.

The draft's residual stream is the target's, seen through the best rank-k basis of the target's embedding (Eckart and
Young 1936): with E = U S V^T and P = V[:, :k], the draft's embedding is E P, and a matrix W that reads the stream
becomes W diag(g) P, one that writes it becomes P^T W. The target's norm gains g are folded into the readers; what
stays of a norm is one number, the gain that makes up for the energy lost to the projection.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_spec.errors import TrainingError
from mlx_spec.training.recipe import DraftShape

Weights = dict[str, NDArray[np.float32]]

EMBEDDING = "model.embed_tokens.weight"
"""The name of a model's embedding, which is its head too where the two are tied."""

START_GAIN = 0.25
"""A draft without most of the target's layers starts out sure of the wrong tokens: measured, a quarter of the final
norm's gain brings KL(p || q) from 15 to 6 nats before the first step."""

READERS = {
    "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
}


def best_basis(matrix: NDArray[np.float32], rank: int) -> NDArray[np.float32]:
    """Orthonormal columns `[width, rank]` that keep most of a tall matrix `[n, width]`: M B B^T is its best rank-k
    approximation."""
    gram = matrix.astype(np.float64).T @ matrix.astype(np.float64)
    _, vectors = np.linalg.eigh(gram)
    return np.ascontiguousarray(vectors[:, ::-1][:, :rank]).astype(np.float32)


def draft_config(target: dict[str, Any], shape: DraftShape) -> dict[str, Any]:
    """The draft's `config.json`: a plain llama with tied embeddings and the target's heads, rope and vocabulary.

    Raises TrainingError where the target is not of a kind that layers can be taken from.
    """
    if target.get("model_type") != "llama" or not target.get("tie_word_embeddings"):
        raise TrainingError(
            f"A draft can be cut from a llama with tied embeddings only, not from {target.get('model_type')!r}."
        )
    if shape.hidden > target["hidden_size"] or shape.inner > target["intermediate_size"]:
        raise TrainingError(
            f"The draft (hidden {shape.hidden}, inner {shape.inner}) must not be wider than the target."
        )
    if not shape.source_layers or max(shape.source_layers) >= target["num_hidden_layers"]:
        raise TrainingError(f"The target has no layers {shape.source_layers}: it has {target['num_hidden_layers']}.")
    config = {name: value for name, value in target.items() if name not in ("quantization", "quantization_config")}
    config["head_dim"] = target.get("head_dim") or target["hidden_size"] // target["num_attention_heads"]
    config.update(
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=len(shape.source_layers),
    )
    if shape.hidden % config["num_attention_heads"]:
        # transformers refuses a llama whose width is no multiple of its heads, even where head_dim is given.
        # A mistral without a sliding window is the same network, and mlx-lm runs both with one class.
        config.update(model_type="mistral", architectures=["MistralForCausalLM"], sliding_window=None)
    return config


def initial_weights(target: Weights, shape: DraftShape) -> Weights:
    """The draft's weights, with Hugging Face's names, from the target's."""
    embedding = target["model.embed_tokens.weight"]
    basis = best_basis(embedding, shape.hidden)
    # A norm over fewer, weaker numbers: rms(x P) is sqrt(width / rank * kept) times rms(x).
    kept = float(np.square(embedding @ basis).sum() / np.square(embedding).sum())
    gain = np.full(shape.hidden, np.sqrt(embedding.shape[1] / shape.hidden * kept), np.float32)
    final = np.full(shape.hidden, START_GAIN * gain[0] * target["model.norm.weight"].mean(), np.float32)
    weights: Weights = {"model.embed_tokens.weight": embedding @ basis, "model.norm.weight": final}
    for index, source in enumerate(shape.source_layers):
        weights.update(
            _project_layer(target, f"model.layers.{source}.", f"model.layers.{index}.", basis, gain, shape.inner)
        )
    return weights


def _project_layer(
    target: Weights, source: str, into: str, basis: NDArray[np.float32], gain: NDArray[np.float32], inner: int
) -> Weights:
    """One layer seen through the basis; of its MLP, the `inner` neurons that write and read most."""
    weights: Weights = {}
    size: NDArray[np.floating[Any]] = np.square(target[f"{source}mlp.down_proj.weight"]).sum(0)
    for name in ("gate_proj", "up_proj"):
        reader = target[f"{source}mlp.{name}.weight"] * target[f"{source}post_attention_layernorm.weight"]
        size = size * np.square(reader).sum(1)
    neurons = np.sort(np.argsort(-size, kind="stable")[:inner])
    for norm, readers in READERS.items():
        weights[f"{into}{norm}.weight"] = gain.copy()
        for name in readers:
            rows: NDArray[Any] = target[f"{source}{name}.weight"] * target[f"{source}{norm}.weight"]
            weights[f"{into}{name}.weight"] = (rows[neurons] if name.startswith("mlp") else rows) @ basis
    weights[f"{into}self_attn.o_proj.weight"] = basis.T @ target[f"{source}self_attn.o_proj.weight"]
    weights[f"{into}mlp.down_proj.weight"] = basis.T @ target[f"{source}mlp.down_proj.weight"][:, neurons]
    return {name: np.ascontiguousarray(weight, np.float32) for name, weight in weights.items()}
