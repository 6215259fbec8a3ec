"""The head of a .safetensors file: which tensors it holds, and how long it must be. No tensor is read."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.staging import human_bytes

_MAX_HEADER_BYTES: Final = 200_000_000


@dataclass(frozen=True, slots=True)
class TensorFile:
    """What the head of a .safetensors file says. `shapes` are by the tensors' names.

    `size_bytes` is what the file has, `promised_bytes` what it must have to hold all of them.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    size_bytes: int
    promised_bytes: int

    def check(self) -> None:
        """Raise CorruptModelError unless the tensors fill the file exactly: MLX reads later, and fails worse."""
        if self.promised_bytes != self.size_bytes:
            raise CorruptModelError(
                f"{self.path} is truncated or damaged ({human_bytes(self.size_bytes)} instead of"
                f" {human_bytes(self.promised_bytes)}), so fetch it again."
            )


def read_tensor_file(path: Path) -> TensorFile:
    """Read the head of a .safetensors file. Raises CorruptModelError where it has none."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size, _MAX_HEADER_BYTES):
                raise ValueError("its head is longer than the file")
            tensors = json.loads(stream.read(length))
        tensors.pop("__metadata__", None)
        shapes = {name: tuple(entry["shape"]) for name, entry in tensors.items()}
        ends = [entry["data_offsets"][1] for entry in tensors.values()]
        return TensorFile(path, shapes, size, 8 + length + max(ends, default=0))
    except (
        OSError,
        struct.error,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise CorruptModelError(f"{path} is not a safetensors file ({error}), so fetch it again.") from error
