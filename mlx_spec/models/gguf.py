"""Importing a llama-architecture GGUF file as a folder that mlx-lm loads. All MLX work is in the calling thread."""

import hashlib
import json
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final, cast

import mlx.core as mx

from mlx_spec.errors import CorruptModelError, UnsupportedModelError
from mlx_spec.models.gguf_header import GGUFHeader, read_header
from mlx_spec.models.gguf_tokenizer import end_token_ids, save_tokenizer
from mlx_spec.models.staging import check_free_space, staged_folder

Progress = Callable[[str, float], None]
"""Told `(stage, fraction)`: a stage such as "importing", and how much of it is done, from 0 to 1."""

# Raised when the importer writes something else than before: older imports are then made again.
IMPORT_FORMAT: Final = 1
RECORD_FILE: Final = "import.json"
_GROUP: Final = 32
_SPARE_BYTES: Final = 16_000_000  # tokenizer, configuration and the file system's own
_LAYER: Final = re.compile(r"blk\.(\d+)\.(.+)")
_OUTER_NAMES: Final = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER_NAMES: Final = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def import_dtype() -> mx.Dtype:
    """Return the precision of imported weights: float32 on a CPU (bfloat16 is slow there), bfloat16 on a GPU."""
    return mx.float32 if mx.default_device().type == mx.DeviceType.cpu else mx.bfloat16


def dtype_suffix() -> str:
    """Return `f32` or `bf16`: imports of both precisions may stand side by side."""
    return "f32" if import_dtype() == mx.float32 else "bf16"


def file_sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_imported(folder: Path) -> bool:
    """Return whether `folder` is a finished import of the present format. Fast: it looks at sizes, not at weights."""
    try:
        record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        weights_bytes = (folder / "model.safetensors").stat().st_size
        return bool(record["format"] == IMPORT_FORMAT and record["weights_bytes"] == weights_bytes)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def import_gguf(
    path: Path, folder: Path, *, source: str, sha256: str | None = None, progress: Progress | None = None
) -> Path:
    """Import the GGUF file at `path` into `folder`, whose parent exists, and return `folder`.

    Quantised weights (Q4_0, Q4_1, Q8_0) are dequantised to `import_dtype()`. `source` says in `import.json` where
    the file came from, `sha256` what it must have. The folder appears whole or not at all.

    Raises CorruptModelError (truncated, damaged, another checksum), UnsupportedModelError (architecture, tokenizer,
    quantisation), ModelNotFoundError (no such file), StorageError (no space, not writable).
    """
    tell = progress or (lambda stage, fraction: None)
    tell("checking", 0.0)
    header = read_header(path)
    config = model_config(header)
    found = file_sha256(path)
    if sha256 is not None and found != sha256:
        raise CorruptModelError(f"{path} has another checksum than expected (SHA-256 {found}), so fetch it again.")
    itemsize = import_dtype().size
    weights_bytes = sum(itemsize * _elements(info.shape) for info in header.tensors.values())
    folder.parent.mkdir(parents=True, exist_ok=True)
    check_free_space(folder.parent, weights_bytes + _SPARE_BYTES, f"Importing {path.name}")
    with staged_folder(folder, is_imported) as part:
        tell("importing", 0.0)
        save_tokenizer(header, part, header.integer("llama.context_length"))
        _write_json(part / "config.json", config)
        ends = {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]}
        _write_json(part / "generation_config.json", ends)
        weights = _weights(header, tell)
        tell("saving", 0.0)
        mx.save_safetensors(str(part / "model.safetensors"), weights, metadata={"format": "mlx"})
        size = (part / "model.safetensors").stat().st_size
        _write_json(part / RECORD_FILE, _record(source, found, size))
    tell("saving", 1.0)
    return folder


def model_config(header: GGUFHeader) -> dict[str, object]:
    """Return mlx-lm's `config.json` for a GGUF file. Raises UnsupportedModelError for what the llama model lacks."""
    architecture = header.text("general.architecture")
    if architecture != "llama":
        raise UnsupportedModelError(f"{header.path} is a '{architecture}' model, and GGUF import knows only 'llama'.")
    scaling = header.text("llama.rope.scaling.type", "none")
    odd = next((name for name in header.tensors if _target_name(name) is None), None)
    if scaling != "none" or odd is not None:
        what = f"the tensor {odd}" if odd is not None else f"rope scaling of the kind '{scaling}'"
        raise UnsupportedModelError(f"{header.path} needs {what}, which GGUF import does not know.")
    heads = header.integer("llama.attention.head_count")
    hidden, rows = header.integer("llama.embedding_length"), len(header.texts("tokenizer.ggml.tokens"))
    embedding = header.tensors.get("token_embd.weight")
    if heads < 1 or embedding is None or embedding.shape != (rows, hidden):
        raise CorruptModelError(f"{header.path} has an embedding that does not match its {rows} tokens.")
    rope_dim = header.integer("llama.rope.dimension_count", hidden // heads)
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": header.integer("llama.feed_forward_length"),
        "num_hidden_layers": header.integer("llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": header.integer("llama.attention.head_count_kv", heads),
        "head_dim": header.integer("llama.attention.key_length", rope_dim),
        "rms_norm_eps": header.number("llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": header.number("llama.rope.freq_base", 10000.0),
        "vocab_size": rows,
        "max_position_embeddings": header.integer("llama.context_length"),
        "tie_word_embeddings": "output.weight" not in header.tensors,
        "bos_token_id": header.metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": end_token_ids(header),
        "torch_dtype": str(import_dtype()).rpartition(".")[2],
    }


def _weights(header: GGUFHeader, tell: Progress) -> dict[str, mx.array]:
    """Return the evaluated weights under mlx-lm's names, dequantised, with q and k rows in their own order again."""
    try:
        raw = cast(dict[str, mx.array], mx.load(str(header.path), format="gguf"))
    except (RuntimeError, ValueError) as error:
        raise CorruptModelError(f"{header.path} cannot be read ({error}).", details=repr(error)) from error
    heads = header.integer("llama.attention.head_count")
    row_heads = {"attn_q": heads, "attn_k": header.integer("llama.attention.head_count_kv", heads)}
    weights = {}
    for done, (name, info) in enumerate(header.tensors.items()):
        stem = name.removesuffix(".weight")
        weight = raw.pop(name)
        if f"{stem}.scales" in raw:
            weight = _dequantised(weight, raw.pop(f"{stem}.scales"), raw.pop(f"{stem}.biases"))
        if weight.shape != info.shape:
            raise CorruptModelError(f"{header.path} is damaged: {name} has the shape {weight.shape}.")
        if count := row_heads.get(stem.rpartition(".")[2]):
            weight = unpermuted_rows(weight, count)
        weights[str(_target_name(name))] = weight = weight.astype(import_dtype())
        mx.eval(weight)
        tell("importing", (done + 1) / len(header.tensors))
    return weights


def _dequantised(weight: mx.array, scales: mx.array, biases: mx.array) -> mx.array:
    """Return float32 `[rows, columns]` of an MLX triplet: scales and biases `[rows, columns / 32]`."""
    bits = weight.shape[-1] * 32 // (scales.shape[-1] * _GROUP)
    return mx.dequantize(
        weight, scales.astype(mx.float32), biases.astype(mx.float32), group_size=_GROUP, bits=bits, mode="affine"
    )


def unpermuted_rows(weight: mx.array, heads: int) -> mx.array:
    """Undo llama.cpp's row order of q and k, `[heads * head_dim, columns]` -> the same shape.

    llama.cpp rotates neighbouring pairs (2i, 2i+1), the original halves (i, i + head_dim / 2), so its converter
    interleaves the two halves of each head.
    """
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _target_name(name: str) -> str | None:
    stem, _, kind = name.rpartition(".")
    if kind != "weight":
        return None
    if stem in _OUTER_NAMES:
        return f"{_OUTER_NAMES[stem]}.weight"
    layer = _LAYER.fullmatch(stem)
    if layer is None or layer[2] not in _LAYER_NAMES:
        return None
    return f"model.layers.{layer[1]}.{_LAYER_NAMES[layer[2]]}.weight"


def _elements(shape: tuple[int, ...]) -> int:
    total = 1
    for length in shape:
        total *= length
    return total


def _record(source: str, sha256: str, weights_bytes: int) -> dict[str, object]:
    packages = {name: version(name) for name in ("mlx", "mlx-lm", "tokenizers")}
    record: dict[str, object] = {"format": IMPORT_FORMAT, "source": source, "sha256": sha256}
    return {**record, "dtype": dtype_suffix(), "weights_bytes": weights_bytes, "versions": packages}


def _write_json(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
