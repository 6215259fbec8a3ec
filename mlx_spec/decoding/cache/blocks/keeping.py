"""How much is kept of what answers have read, and where."""

import logging
import shutil
from typing import Final, Protocol

import mlx.nn as nn

from mlx_spec.config import Keeping
from mlx_spec.decoding.cache.blocks.disk import DiskTier
from mlx_spec.decoding.cache.blocks.identity import identity_of
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.blocks.shelves import prefixes_folder
from mlx_spec.decoding.cache.blocks.slow import SlowBlocks
from mlx_spec.decoding.cache.chunks import prompt_passes
from mlx_spec.decoding.cache.trials import is_shared
from mlx_spec.errors import StorageError
from mlx_spec.models.memory import memory_info

# What is kept is worth its memory only as long as nothing else on the machine misses it.
_SHARE: Final = 4
_MOST_BYTES: Final = 4_000_000_000
_DISK_SHARE: Final = 10
_MOST_DISK_BYTES: Final = 10_000_000_000

logger = logging.getLogger(__name__)


class Readers(Protocol):
    """What a pair says of those who read its texts: see `ModelPair`."""

    @property
    def content(self) -> str | None: ...

    @property
    def target(self) -> nn.Module: ...

    @property
    def draft(self) -> nn.Module | None: ...


def limits(keeping: Keeping) -> tuple[int, int]:
    """Bytes for all keys and values, and of these for texts that are kept, by the memory that is free now."""
    pool_bytes = keeping.pool_bytes or memory_info().available_bytes
    kept_bytes = min(pool_bytes // _SHARE, _MOST_BYTES) if keeping.memory_bytes is None else keeping.memory_bytes
    return pool_bytes, kept_bytes


def prefixes_of(pair: Readers, keeping: Keeping, kv_bits: int | None = None) -> Prefixes | None:
    """What a pair that is loaded keeps, of keys and values in so many bits; None where nothing is to be kept, and
    answers under way may take what they need."""
    if keeping.memory_bytes == 0:
        return Prefixes(keeping.pool_bytes, kept_bytes=0) if keeping.pool_bytes else None
    pool_bytes, kept_bytes = limits(keeping)
    return Prefixes(pool_bytes, kept_bytes=kept_bytes, slow=_on_disk(pair, keeping.disk_bytes, kv_bits))


def _on_disk(pair: Readers, disk_bytes: int | None, kv_bits: int | None) -> SlowBlocks | None:
    if disk_bytes == 0:
        return None
    if is_shared(pair.target):
        logger.info("What is read stays in memory, as it is spread over several machines: nothing is kept on disk.")
        return None
    try:
        folder = prefixes_folder()
    except StorageError:
        return None  # who loads models there has said so
    identity = identity_of(pair.content, (pair.target, pair.draft), passes=prompt_passes(), kv_bits=kv_bits)
    if identity is None:
        return None
    if disk_bytes is None:
        disk_bytes = min(shutil.disk_usage(folder.parent).free // _DISK_SHARE, _MOST_DISK_BYTES)
    tier = DiskTier.opened(folder, identity, disk_bytes)
    return SlowBlocks(tier) if tier is not None else None
