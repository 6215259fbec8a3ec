"""Importing a GGUF file as a folder that mlx-lm loads. All MLX work is in the calling thread."""

import hashlib
import json
import math
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, cast

import mlx.core as mx

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.gguf.blocks import block_values
from mlx_spec.models.gguf.config import model_config
from mlx_spec.models.gguf.header import GGUFHeader, TensorInfo
from mlx_spec.models.gguf.parts import read_model
from mlx_spec.models.gguf.shape import ROPE_TENSORS, ModelShape, read_shape, tensor_places
from mlx_spec.models.gguf.tokenizer import build_tokenizer, save_tokenizer
from mlx_spec.models.progress import Progress, silent
from mlx_spec.models.staging import full_disk_as_os_error, staged_folder

# Raised when the importer writes something else than before: older imports are then made again.
IMPORT_FORMAT: Final = 2
RECORD_FILE: Final = "import.json"
REQUANTISED_GROUP: Final = 64
_GROUP: Final = 32
_READ_BY_MLX: Final = frozenset({"F32", "F16", "Q4_0", "Q4_1", "Q8_0"})
_SPARE_BYTES: Final = 16_000_000  # tokenizer, configuration and the file system's own


def import_dtype() -> mx.Dtype:
    """Return the precision of imported weights: float32 on a CPU (bfloat16 is slow there), bfloat16 on a GPU."""
    return mx.float32 if mx.default_device().type == mx.DeviceType.cpu else mx.bfloat16


def dtype_suffix() -> str:
    """Return `f32` or `bf16`: imports of both precisions may stand side by side."""
    return "f32" if import_dtype() == mx.float32 else "bf16"


def sha256_of(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of some files, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def is_imported(folder: Path) -> bool:
    """Return whether `folder` is a finished import of the present format. Fast: it looks at sizes, not at weights."""
    try:
        record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        weights_bytes = (folder / "model.safetensors").stat().st_size
        return bool(record["format"] == IMPORT_FORMAT and record["weights_bytes"] == weights_bytes)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def import_gguf(
    path: Path,
    folder: Path,
    *,
    source: str,
    sha256: str | None = None,
    bits: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Import the GGUF file at `path`, with the other parts where it is split, into `folder` and return `folder`.

    Quantised weights, K-quants and IQ included, are dequantised to `import_dtype()`; with `bits` they are then
    quantised as MLX does it, matrix by matrix, so that they never lie unpacked in memory together. What that loses is
    `weight_error` of `import.json`, see `weight_error_of`. `source` says there where the file came from, `sha256` what
    it must have. The folder appears whole or not at all.

    Raises CorruptModelError (truncated, damaged, another checksum), UnsupportedModelError (architecture, tokenizer,
    quantisation), ModelNotFoundError (no such file), StorageError (no space, not writable).
    """
    tell = progress or silent
    tell("checking", 0.0)
    header = read_model(path)
    shape = read_shape(header)
    config = model_config(header, shape, str(import_dtype()).rpartition(".")[2])
    tokenizer = build_tokenizer(header)
    found = sha256_of(header.paths)  # the last of the checks: it reads all there is
    if sha256 is not None and found != sha256:
        raise CorruptModelError(f"{path} has another checksum than expected (SHA-256 {found}), so fetch it again.")
    if bits is not None:
        config["quantization"] = {"group_size": REQUANTISED_GROUP, "bits": bits, "mode": "affine"}
    weights_bytes = sum(_stored_bytes(info, bits) for info in header.tensors.values())
    with staged_folder(folder, is_imported, weights_bytes + _SPARE_BYTES) as part:
        tell("importing", 0.0)
        save_tokenizer(header, tokenizer, part, config["max_position_embeddings"])
        _write_config(part, config)
        packing = _Packing(bits)
        size = _write_weights(part, header, shape, packing, tell)
        _write_json(part / RECORD_FILE, _record(source, found, size) | packing.record())
    tell("saving", 1.0)
    return folder


def weight_error_of(folder: Path) -> float | None:
    """What requantising changed in an import's weights: root mean square, as a part of the weights' own; or None."""
    record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    error = record.get("weight_error")
    return float(error) if error is not None else None


class _Packing:
    """Quantises matrices to `bits`, None for not at all, and adds up what that changes."""

    def __init__(self, bits: int | None) -> None:
        self._bits = bits
        self._changed = self._whole = 0.0

    def pack(self, name: str, weight: mx.array) -> dict[str, mx.array]:
        """The arrays that stand for the weight `name`."""
        if self._bits is None or weight.ndim != 2 or weight.shape[-1] % REQUANTISED_GROUP:
            return {name: weight}
        stem = name.removesuffix(".weight")
        packed, scales, biases = mx.quantize(weight, REQUANTISED_GROUP, self._bits)
        unpacked = mx.dequantize(packed, scales, biases, REQUANTISED_GROUP, self._bits)
        wide = weight.astype(mx.float32)
        self._changed += float(mx.square(wide - unpacked.astype(mx.float32)).sum())
        self._whole += float(mx.square(wide).sum())
        return {name: packed, f"{stem}.scales": scales, f"{stem}.biases": biases}

    def record(self) -> dict[str, object]:
        """What import.json says of it."""
        if self._bits is None or not self._whole:
            return {}
        return {"bits": self._bits, "weight_error": math.sqrt(self._changed / self._whole)}


def _stored_bytes(info: TensorInfo, bits: int | None) -> int:
    count = math.prod(info.shape)
    if bits is None or len(info.shape) != 2 or info.shape[-1] % REQUANTISED_GROUP:
        return count * import_dtype().size
    return count * bits // 8 + 2 * count // REQUANTISED_GROUP * import_dtype().size


def _weights(header: GGUFHeader, shape: ModelShape, packing: _Packing, tell: Progress) -> dict[str, mx.array]:
    """Return the evaluated weights under mlx-lm's names, as the model's authors had them, or packed anew."""
    raw = _raw_tensors(header)
    places = tensor_places(shape)
    infos = [info for name, info in header.tensors.items() if name not in ROPE_TENSORS]
    weights: dict[str, mx.array] = {}
    for done, info in enumerate(infos):
        weight = _original(_values(header, info, raw), info.name, shape).astype(import_dtype())
        packed = packing.pack(places[info.name][0], weight)
        mx.eval(list(packed.values()))
        weights |= packed
        tell("importing", (done + 1) / len(infos))
    return weights


def _values(header: GGUFHeader, info: TensorInfo, raw: dict[str, mx.array]) -> mx.array:
    """The numbers of one tensor as the file has them; what MLX has read is taken from `raw`."""
    stem = info.name.removesuffix(".weight")
    weight = raw.pop(info.name) if info.name in raw else block_values(info)
    if f"{stem}.scales" in raw:
        weight = _dequantised(weight, raw.pop(f"{stem}.scales"), raw.pop(f"{stem}.biases"))
    if weight.shape != info.shape:
        raise CorruptModelError(f"{info.path} is damaged: {info.name} has the shape {weight.shape}.")
    return weight


def _original(weight: mx.array, name: str, shape: ModelShape) -> mx.array:
    """Undo what llama.cpp's converter does to a tensor's values."""
    heads = {"attn_q": shape.heads, "attn_k": shape.kv_heads}
    stem = name.removesuffix(".weight").rpartition(".")[2]
    if shape.architecture.interleaved and stem in heads:
        return unpermuted_rows(weight, heads[stem])
    if shape.architecture.norm_offset and stem.endswith("norm"):
        return weight.astype(mx.float32) - shape.architecture.norm_offset
    return weight


def _raw_tensors(header: GGUFHeader) -> dict[str, mx.array]:
    """What MLX reads by itself, which is quicker; nothing where the file also has blocks that it would round."""
    if any(info.type_name not in _READ_BY_MLX for info in header.tensors.values()):
        return {}
    raw: dict[str, mx.array] = {}
    for path in {info.path for info in header.tensors.values()}:
        try:
            raw |= cast(dict[str, mx.array], mx.load(str(path), format="gguf"))
        except (RuntimeError, ValueError) as error:
            raise CorruptModelError(f"{path} cannot be read ({error}).", details=repr(error)) from error
    return raw


def _write_config(part: Path, config: dict[str, Any]) -> None:
    _write_json(part / "config.json", config)
    ends = {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]}
    _write_json(part / "generation_config.json", ends)


def _write_weights(part: Path, header: GGUFHeader, shape: ModelShape, packing: _Packing, tell: Progress) -> int:
    """Write the weights, and give their file's bytes. They are out of memory afterwards: the model is loaded next."""
    file, weights = part / "model.safetensors", _weights(header, shape, packing, tell)
    tell("saving", 0.0)
    with full_disk_as_os_error():
        mx.save_safetensors(str(file), weights, metadata={"format": "mlx"})
    del weights
    mx.clear_cache()
    return file.stat().st_size


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


def _record(source: str, sha256: str, weights_bytes: int) -> dict[str, object]:
    packages = {name: version(name) for name in ("mlx", "mlx-lm", "tokenizers")}
    record: dict[str, object] = {"format": IMPORT_FORMAT, "source": source, "sha256": sha256}
    return {**record, "dtype": dtype_suffix(), "weights_bytes": weights_bytes, "versions": packages}


def _write_json(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
