"""Write a trained draft as a folder that plain `mlx_lm.load` reads: quantised weights, config, the target's tokenizer
files."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models import llama
from numpy.typing import NDArray

from mlx_spec.errors import StorageError
from mlx_spec.training.initial import Weights
from mlx_spec.training.rounding import Rounding

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
)
COMPACT = (",", ":")


def build_draft(config: dict[str, Any], weights: Weights) -> llama.Model:
    """The draft as mlx-lm's llama, in float32."""
    model = llama.Model(llama.ModelArgs.from_dict(config))
    model.load_weights([(name, mx.array(weight)) for name, weight in weights.items()])
    model.eval()
    return model


def quantise(model: llama.Model, config: dict[str, Any], rounding: Rounding) -> dict[str, Any]:
    """Quantise in place, the embedding (most of a small draft, and the most patient) on its own; give the config that
    says so."""
    settings: dict[str, Any] = {"group_size": rounding.group, "bits": rounding.bits}
    embedding = {"group_size": rounding.group, "bits": rounding.vocabulary_bits}

    def choose(path: str, module: nn.Module) -> bool | dict[str, Any]:
        if not hasattr(module, "to_quantized"):
            return False
        return embedding if path == "model.embed_tokens" else True

    nn.quantize(model, rounding.group, rounding.bits, class_predicate=choose)
    if rounding.vocabulary_bits != rounding.bits:
        settings["model.embed_tokens"] = embedding
    return {**config, "quantization": settings, "quantization_config": settings}


def export_draft(model: llama.Model, config: dict[str, Any], target: Path, out: Path) -> int:
    """Save a (quantised) draft with the target's tokenizer; give the folder's size in bytes. Raises StorageError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        parameters = {name: small(name, value) for name, value in tree_flatten(model.parameters())}
        mx.save_safetensors(str(out / "model.safetensors"), parameters, metadata={"format": "mlx"})
        (out / "config.json").write_text(
            json.dumps({**config, "torch_dtype": "bfloat16"}, indent=2, sort_keys=True) + "\n"
        )
        for name in TOKENIZER_FILES:
            if (target / name).exists() and name.endswith(".json"):
                content = json.loads((target / name).read_text())
                (out / name).write_text(json.dumps(content, ensure_ascii=False, separators=COMPACT) + "\n")
            elif (target / name).exists():
                shutil.copyfile(target / name, out / name)
    except OSError as error:
        raise StorageError(f"The draft cannot be written to {out}: {error.strerror}.") from error
    return folder_bytes(out)


def folder_bytes(folder: Path) -> int:
    """What the files of a folder take on the disk."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def save_floats(weights: Weights, path: Path) -> None:
    """Save a draft's float32 weights, whole or not at all: unlike the exported ones they can be trained on without
    loss. Raises StorageError."""
    partial = path.with_name(f"{path.stem}.part.safetensors")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mx.save_safetensors(str(partial), {name: mx.array(weight) for name, weight in weights.items()})
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        raise StorageError(f"The draft's weights cannot be written to {path}: {error}.") from error


def small(name: str, value: mx.array) -> mx.array:
    """Floats that stay beside the quantised numbers, as bfloat16."""
    return value.astype(mx.bfloat16) if value.dtype == mx.float32 else value


def mlx_hidden(model: llama.Model, ids: NDArray[np.int32]) -> NDArray[np.float32]:
    """Final hidden states `[rows * length, hidden]` of ids `[rows, length]`."""
    states = model.model(mx.array(ids)).astype(mx.float32)
    return np.array(states.reshape(-1, states.shape[-1]))


def mlx_embedding(model: llama.Model) -> NDArray[np.float32]:
    """The tied embedding `[vocab, hidden]`, dequantised."""
    vocab = model.model.embed_tokens.weight.shape[0]
    return np.array(model.model.embed_tokens(mx.arange(vocab)).astype(mx.float32))
