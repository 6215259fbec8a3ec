"""Weights out of PyTorch's own file format, without PyTorch and without running what the file says.

Many heads are published as `pytorch_model.bin` or `medusa_lm_head.pt` only: a ZIP archive of a pickle, which names
tensors, and of their raw numbers. A pickle may call anything; this one may call what builds tensors, and no more.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
import numpy as np

from mlx_spec.errors import CorruptModelError

_DTYPES: Final = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "uint16",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
}


@dataclass(frozen=True, slots=True)
class _Storage:
    """Raw numbers of one kind, as the pickle refers to them."""

    kind: str
    data: bytes


class _TensorsOnly(pickle.Unpickler):
    """Builds tensors; anything else that the pickle asks for is refused."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        _, kind, key, *_ = pid
        return _Storage(kind, self._archive.read(f"{self._root}/data/{key}"))


def _tensor(storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> mx.array:
    numbers = np.frombuffer(storage.data, _DTYPES[storage.kind])
    steps = [step * numbers.itemsize for step in stride]
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True) if length)
    if offset < 0 or min(stride, default=0) < 0 or last >= max(1, len(numbers)):
        raise pickle.UnpicklingError("a tensor reaches beyond its numbers")
    strided = np.ascontiguousarray(np.lib.stride_tricks.as_strided(numbers[offset:], size, steps, writeable=False))
    array = mx.array(strided)
    return array.view(mx.bfloat16) if storage.kind == "BFloat16Storage" else array


def load_torch_file(path: Path) -> dict[str, mx.array]:
    """The tensors of a `.bin` or `.pt` file by name. Raises CorruptModelError for what is no such file."""
    try:
        with zipfile.ZipFile(path) as archive:
            root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("/data.pkl")
            weights = _TensorsOnly(archive, root).load()
        if not isinstance(weights, dict) or not all(isinstance(value, mx.array) for value in weights.values()):
            raise pickle.UnpicklingError("it holds more than named tensors")
    except (
        OSError,
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        StopIteration,
        KeyError,
        ValueError,
        TypeError,
    ) as error:
        raise CorruptModelError(
            f"{path} is not a file of PyTorch weights that can be read safely: fetch it again, or convert it to"
            " safetensors.",
            details=repr(error),
        ) from error
    return {str(name): value for name, value in weights.items()}
