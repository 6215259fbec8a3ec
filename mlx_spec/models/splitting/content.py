"""What a model is by its contents, the same on every machine that has it."""

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.folder import ModelFolder

_SAMPLE_BYTES: Final = 4096
# What tools write into a configuration that changes no product.
_NAMES: Final = frozenset({"_name_or_path", "transformers_version", "mlx_version"})


def content_hash(folder: ModelFolder) -> str:
    """A hash of a model's configuration and weights, whatever its files are called and however it is cut into them.

    Of each tensor it takes name, type and shape, and some kilobytes at its beginning, middle and end: another model,
    another training or another quantisation changes those of nearly all, and nobody waits for 100 GB to be read.
    Raises CorruptModelError, ModelError.
    """
    told = hashlib.sha256(json.dumps(_shown(folder), sort_keys=True).encode())
    for line in sorted(line for path in folder.weights for line in _tensors(path)):
        told.update(line)
    return told.hexdigest()


def _shown(folder: ModelFolder) -> dict[str, Any]:
    return {name: value for name, value in (folder.written or {}).items() if name not in _NAMES}


def _tensors(path: Path) -> Iterator[bytes]:
    """A line for each tensor of a .safetensors file."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            head = json.loads(stream.read(length))
            for name, entry in head.items():
                if name == "__metadata__":
                    continue
                begin, end = (8 + length + offset for offset in entry["data_offsets"])
                facts = json.dumps([name, entry["dtype"], entry["shape"]])
                yield f"{facts} {_sampled(stream, begin, end)}\n".encode()
    except (OSError, struct.error, ValueError, KeyError, TypeError) as error:
        raise CorruptModelError(f"{path} is not a safetensors file ({error}), so fetch it again.") from error


def _sampled(stream: BinaryIO, begin: int, end: int) -> str:
    told = hashlib.sha256()
    middle = (begin + end - _SAMPLE_BYTES) // 2
    for at in (begin, max(begin, middle), max(begin, end - _SAMPLE_BYTES)):
        stream.seek(at)
        told.update(stream.read(min(_SAMPLE_BYTES, end - at)))
    return told.hexdigest()
