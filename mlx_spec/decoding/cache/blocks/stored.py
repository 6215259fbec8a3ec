"""A block as one file: its name says which it is and what its bytes must be, its bytes are safetensors.

MLX checks little of what it loads, so nothing reaches it before all bytes are the very ones that were written.
"""

import hashlib
import io
import json
import re
from dataclasses import dataclass
from typing import Any, Final

import mlx.core as mx
import numpy as np

Ids = np.ndarray[tuple[int], np.dtype[np.int32]]

KEY_BYTES: Final = 16
_NO_PARENT: Final = "first"
_NAME: Final = re.compile(rf"([0-9a-f]{{32}})\.([0-9a-f]{{32}}|{_NO_PARENT})\.([0-9a-f]{{32}})\.safetensors")
_IDS: Final = "token_ids"
_CONTENT: Final = "content"


@dataclass(frozen=True, slots=True, eq=False)
class StoredBlock:
    """A block of a text. `key` (16 bytes) stands for the text up to the block's end, `parent` for the text before it,
    empty for the first block. `token_ids` `[tokens]` are the block's own.

    `content` is a tree of dicts with str keys, lists, tuples, numbers, strings, bytes, None and arrays.
    """

    key: bytes
    parent: bytes
    token_ids: Ids
    content: Any


@dataclass(frozen=True, slots=True)
class BlockName:
    """What the name of a block's file says. `digest` is of who read it, which block it is, and all bytes: a file of
    another model, another block's, or one with a wrong bit shows by it."""

    key: bytes
    parent: bytes
    digest: str

    @classmethod
    def of(cls, identity: str, key: bytes, parent: bytes, data: bytes | memoryview) -> "BlockName":
        """The name for these bytes. Raises ValueError for keys that are no hashes of 16 bytes."""
        if len(key) != KEY_BYTES or len(parent) not in (0, KEY_BYTES):
            raise ValueError(
                f"A block's key has {KEY_BYTES} bytes, its parent's too or none: {key!r} after {parent!r}."
            )
        return cls(key, parent, digest_of(identity.encode(), key, parent, data))

    @classmethod
    def read(cls, name: str) -> "BlockName | None":
        """What a file's name says; None where it is no block's."""
        if (found := _NAME.fullmatch(name)) is None:
            return None
        parent = b"" if found[2] == _NO_PARENT else bytes.fromhex(found[2])
        return cls(bytes.fromhex(found[1]), parent, found[3])

    def __str__(self) -> str:
        return f"{self.key.hex()}.{self.parent.hex() or _NO_PARENT}.{self.digest}.safetensors"


def digest_of(*parts: bytes | memoryview) -> str:
    """A hash of some bytes, and of where each part ends."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.hexdigest()


def packed(block: StoredBlock) -> memoryview:
    """A block's ids and content as safetensors: arrays as tensors, all else as JSON beside them.

    Raises TypeError for a value that no tree of ours holds, and for an array of a kind that safetensors does not know.
    """
    arrays: list[mx.array] = []
    content = json.dumps(_written(block.content, arrays))
    tensors = {str(number): array for number, array in enumerate(arrays)}
    stream = io.BytesIO()
    try:
        mx.save_safetensors(stream, tensors | {_IDS: mx.array(block.token_ids, dtype=mx.int32)}, {_CONTENT: content})
    except RuntimeError as error:
        raise TypeError(f"an array cannot be kept: {error}") from error
    return stream.getbuffer()


def unpacked(name: BlockName, identity: str, data: bytes) -> StoredBlock:
    """The block in a file's bytes, whose arrays need the file no more. Raises ValueError where they are not the bytes
    that its name promises, or make no sense."""
    if BlockName.of(identity, name.key, name.parent, data) != name:
        raise ValueError("its bytes are not those that were written")
    try:
        loaded: Any = mx.load(io.BytesIO(data), format="safetensors", return_metadata=True)
        tensors, beside = loaded
        content = _read(json.loads(beside[_CONTENT]), tensors)
        mx.eval(tensors)  # now, as MLX may read them when they are needed
        token_ids = np.array(tensors[_IDS])
    except (RuntimeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"it cannot be read ({error})") from error
    if token_ids.ndim != 1 or token_ids.dtype != np.int32:
        raise ValueError("its token ids are none")
    return StoredBlock(name.key, name.parent, token_ids, content)


def _written(value: Any, arrays: list[mx.array]) -> Any:
    """A tree as JSON. What JSON has stays itself; an object says in its only key what else a value is."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, mx.array):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if type(value) is list:
        return [_written(one, arrays) for one in value]
    if type(value) is tuple:
        return {"tuple": [_written(one, arrays) for one in value]}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: _written(one, arrays) for key, one in value.items()}}
    if type(value) is bytes:
        return {"bytes": value.hex()}
    raise TypeError(f"{type(value).__name__} cannot be kept")


def _read(value: Any, tensors: dict[str, mx.array]) -> Any:
    if isinstance(value, list):
        return [_read(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "array":
        return tensors[str(held)]
    if kind == "tuple":
        return tuple(_read(one, tensors) for one in held)
    if kind == "dict":
        return {key: _read(one, tensors) for key, one in held.items()}
    if kind == "bytes":
        return bytes.fromhex(held)
    raise ValueError(f"{kind} is no kind of value")
