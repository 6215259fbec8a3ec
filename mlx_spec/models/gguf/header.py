"""Reading the head of a GGUF file: metadata and tensor places, checked against the file's size.

MLX may end the process over a damaged file, so everything is checked here before MLX sees it. No MLX in here.
Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import codecs
import math
import mmap
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mlx_spec.errors import CorruptModelError, ModelNotFoundError, UnsupportedModelError

_MAGIC: Final = b"GGUF"
_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MAX_DIMENSIONS: Final = 4
_VERSIONS: Final = (2, 3)
# How a byte that is not UTF-8 is read: old tools wrote an author's name in Latin-1.
_LENIENT: Final = "mlx_spec.latin-1"
# Ids hang on these, letter by letter.
_EXACT_LISTS: Final = ("tokenizer.ggml.tokens", "tokenizer.ggml.merges")

# ggml type number -> (name, elements a block, bytes a block).
TENSOR_TYPES: Final = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2),
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 29: ("IQ1_M", 256, 56), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}  # fmt: skip


def _as_latin1(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_LENIENT, _as_latin1)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: `shape` as MLX has it (rows first), `type_name` such as Q4_1, `nbytes` from `offset` in `path`."""

    path: Path
    name: str
    shape: tuple[int, ...]
    type_name: str
    nbytes: int
    offset: int


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """Metadata and tensors of a model's GGUF file, or of all of its `paths` where it is split.

    The getters raise CorruptModelError for a missing or misshapen key.
    """

    path: Path
    metadata: dict[str, object]
    tensors: dict[str, TensorInfo]
    more_paths: tuple[Path, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in order."""
        return (self.path, *self.more_paths)

    def integer(self, key: str, default: int | None = None) -> int:
        """Return a whole number."""
        value = self.metadata.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._misshapen(key, "a whole number")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number as float."""
        value = self.metadata.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._misshapen(key, "a number")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return a truth value."""
        value = self.metadata.get(key, default)
        if not isinstance(value, bool):
            raise self._misshapen(key, "true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string."""
        value = self.metadata.get(key, default)
        if not isinstance(value, str):
            raise self._misshapen(key, "a text")
        return value

    def texts(self, key: str) -> list[str]:
        """Return a list of strings."""
        value = self.metadata.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._misshapen(key, "a list of texts")
        return value

    def integers(self, key: str) -> list[int]:
        """Return a list of whole numbers."""
        value = self.metadata.get(key)
        if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
            raise self._misshapen(key, "a list of whole numbers")
        return value

    def numbers(self, key: str) -> list[float]:
        """Return a list of numbers."""
        value = self.metadata.get(key)
        if not isinstance(value, list) or not all(isinstance(item, int | float) for item in value):
            raise self._misshapen(key, "a list of numbers")
        return [float(item) for item in value]

    def _misshapen(self, key: str, kind: str) -> CorruptModelError:
        state = f"is not {kind}" if key in self.metadata else "is missing"
        return CorruptModelError(f"{self.path} cannot be used as a model because its field {key} {state}.")


class _Cursor:
    """Reads values one after the other; CorruptModelError where the file ends too early."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self._data = data
        self._path = path
        self.at = 0

    def truncated(self) -> CorruptModelError:
        return CorruptModelError(f"{self._path} is truncated or damaged, so fetch it again.")

    def bytes(self, count: int) -> bytes:
        if count > len(self._data) - self.at:
            raise self.truncated()
        self.at += count
        return self._data[self.at - count : self.at]

    def scalar(self, code: str) -> int | float | bool:
        value: int | float | bool = struct.unpack("<" + code, self.bytes(struct.calcsize("<" + code)))[0]
        return value

    def integer(self, code: str) -> int:
        return int(self.scalar(code))

    def string(self, *, exact: bool) -> str:
        raw = self.bytes(self.integer("Q"))
        try:
            return raw.decode("utf-8", "strict" if exact else _LENIENT)
        except UnicodeDecodeError:
            raise self.truncated() from None

    def value(self, kind: int, *, exact: bool) -> object:
        if kind == _STRING:
            return self.string(exact=exact)
        if kind == _ARRAY:
            return self._array(exact=exact)
        if kind not in _SCALARS:
            raise self.truncated()
        return self.scalar(_SCALARS[kind])

    def _array(self, *, exact: bool) -> list[object]:
        kind, count = self.integer("I"), self.integer("Q")
        if kind == _STRING:
            if count > len(self._data) - self.at:
                raise self.truncated()
            return [self.string(exact=exact) for _ in range(count)]
        if kind not in _SCALARS:
            raise self.truncated()  # Arrays of arrays are in no model that we know.
        code = _SCALARS[kind]
        raw = self.bytes(count * struct.calcsize("<" + code))
        return list(struct.unpack(f"<{count}{code}", raw))


def read_header(path: Path) -> GGUFHeader:
    """Read metadata and tensor places of the one GGUF file at `path`, and check that every tensor lies inside it.

    Raises ModelNotFoundError when there is no such file, CorruptModelError when it is not a GGUF file, is truncated
    or damaged, UnsupportedModelError for a version, a byte order or a quantisation that is not read.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != _MAGIC:
                raise CorruptModelError(f"{path} is not a GGUF file.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _parse(_Cursor(data, path), path, len(data))
    except FileNotFoundError:
        raise ModelNotFoundError(f"There is no file {path}.") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ModelNotFoundError(f"{path} cannot be read ({reason}).", details=repr(error)) from error


def _parse(cursor: _Cursor, path: Path, size: int) -> GGUFHeader:
    cursor.at = len(_MAGIC)
    version = cursor.integer("I")
    if int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS:
        raise UnsupportedModelError(
            f"{path} is a big-endian GGUF file, for other machines than this: fetch the usual one of the model."
        )
    if version not in _VERSIONS:
        raise UnsupportedModelError(f"{path} is a GGUF file of version {version}, and only versions 2 and 3 are read.")
    tensor_count, field_count = cursor.integer("Q"), cursor.integer("Q")
    metadata: dict[str, object] = {}
    for _ in range(field_count):
        key = cursor.string(exact=True)
        metadata[key] = cursor.value(cursor.integer("I"), exact=key in _EXACT_LISTS)
    tensors = [_tensor(cursor, path) for _ in range(tensor_count)]
    alignment = max(1, GGUFHeader(path, metadata, {}).integer("general.alignment", 32))
    start = math.ceil(cursor.at / alignment) * alignment
    if any(info.offset % alignment or start + info.offset + info.nbytes > size for info in tensors):
        raise cursor.truncated()
    header = GGUFHeader(path, metadata, {info.name: replace(info, offset=start + info.offset) for info in tensors})
    if len(header.tensors) != tensor_count:
        raise cursor.truncated()
    return header


def _tensor(cursor: _Cursor, path: Path) -> TensorInfo:
    """A tensor's entry; its offset is still one from where the tensors begin."""
    name = cursor.string(exact=True)
    dimensions = cursor.integer("I")
    if dimensions > _MAX_DIMENSIONS:
        raise cursor.truncated()
    shape = tuple(reversed([cursor.integer("Q") for _ in range(dimensions)]))
    kind, offset = cursor.integer("I"), cursor.integer("Q")
    if kind not in TENSOR_TYPES:
        raise UnsupportedModelError(
            f"{path} stores {name} as type {kind}, which is not read; use a Q4_K, Q6_K, Q8_0 or F16 file of the model."
        )
    type_name, block, block_bytes = TENSOR_TYPES[kind]
    elements = math.prod(shape)
    if not shape or elements == 0 or shape[-1] % block:
        raise cursor.truncated()
    return TensorInfo(path, name, shape, type_name, elements // block * block_bytes, offset)
