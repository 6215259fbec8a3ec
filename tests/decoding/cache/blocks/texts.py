"""Texts in small blocks whose content follows from their ids: what is found on disk can be told right from wrong."""

import hashlib
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_spec.decoding.cache.blocks.disk import DiskTier
from mlx_spec.decoding.cache.blocks.stored import Ids, StoredBlock

BLOCK_TOKENS = 4


def blocks_of(words: str, *, wide: int = 500) -> list[StoredBlock]:
    """A block a letter; texts that begin with the same letters begin with the same blocks. `wide` numbers each."""
    found: list[StoredBlock] = []
    for letter in words:
        ids = np.full(BLOCK_TOKENS, ord(letter), dtype=np.int32)
        parent = found[-1].key if found else b""
        key = hashlib.blake2b(parent + ids.tobytes(), digest_size=16).digest()
        found.append(StoredBlock(key, parent, ids, content_of(key, ids, wide)))
    return found


def keys_of(words: str) -> list[bytes]:
    """The keys of a text's blocks."""
    return [block.key for block in blocks_of(words)]


def content_of(key: bytes, ids: Ids, wide: int) -> dict[str, Any]:
    """What a model would have made of a block: here, of its key and ids."""
    numbers = np.frombuffer(hashlib.shake_128(key).digest(4 * wide), dtype=np.uint32)
    return {"target": [(mx.array(numbers), len(ids))], "key": key}


def keep(tier: DiskTier, words: str, owner: str | None = None, **wide: int) -> None:
    """Save a text's blocks and keep it."""
    blocks = blocks_of(words, **wide)
    for block in blocks:
        tier.save(block)
    tier.keep_text([block.key for block in blocks], owner)


def known(tier: DiskTier, words: str) -> int:
    """How many blocks of a text are found, from its first; each is checked to be the one."""
    for count, block in enumerate(blocks_of(words)):
        found = tier.load(block.key)
        if found is None:
            return count
        assert is_right(found)
        assert found.key == block.key
        assert np.array_equal(found.token_ids, block.token_ids)
    return len(words)


def is_right(block: StoredBlock) -> bool:
    """Whether a block holds what it must, by its own key and ids."""
    ((numbers, count),) = block.content["target"]
    expected = content_of(block.key, block.token_ids, numbers.size)
    ((right, _),) = expected["target"]
    chained = hashlib.blake2b(block.parent + block.token_ids.tobytes(), digest_size=16).digest()
    same = bool(mx.array_equal(numbers, right).item())
    return same and count == BLOCK_TOKENS and block.content["key"] == block.key == chained


def same_tree(one: Any, other: Any) -> bool:
    """Whether two trees are the same to the bit: kinds, shapes, arrays."""
    if type(one) is not type(other):
        return False
    if isinstance(one, mx.array):
        return (one.dtype, one.shape) == (other.dtype, other.shape) and bits_of(one) == bits_of(other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same_tree(one[key], other[key]) for key in one)
    if isinstance(one, Sequence) and not isinstance(one, str | bytes):
        return len(one) == len(other) and all(map(same_tree, one, other))
    return bool(repr(one) == repr(other))  # NaN is itself here, and -0.0 is not 0.0


def bits_of(array: mx.array) -> bytes:
    """An array's own bytes."""
    if array.size == 0:
        return b""
    flat = mx.contiguous(array).reshape(-1)
    return bytes(np.array(flat if array.dtype == mx.bool_ else flat.view(mx.uint8)))
