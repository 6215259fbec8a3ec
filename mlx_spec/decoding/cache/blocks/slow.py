"""Blocks of memory kept on disk, and back."""

import logging
from collections.abc import Iterator, Sequence

from mlx_spec.decoding.cache.blocks.chain import Block
from mlx_spec.decoding.cache.blocks.disk import DiskTier
from mlx_spec.decoding.cache.blocks.shelves import Shelves, prefixes_folder
from mlx_spec.decoding.cache.blocks.stored import StoredBlock
from mlx_spec.decoding.cache.snapshot import Snapshot
from mlx_spec.errors import StorageError

logger = logging.getLogger(__name__)


class SlowBlocks:
    """The blocks that outlive the process. Nothing here raises: where the disk does not serve, nothing is there."""

    def __init__(self, tier: DiskTier) -> None:
        self._tier = tier

    @property
    def size_bytes(self) -> int:
        """What is on the disk, that of other models included."""
        return self._tier.usage.size_bytes

    def load(self, key: bytes) -> Block | None:
        """A block that is there, with the number 0; None where it is not."""
        if (stored := self._tier.load(key)) is None:
            return None
        block = Block(0, stored.key, stored.parent, stored.token_ids)
        for name, part in stored.content["parts"].items():
            block.hold(name, tuple(part))
        for name, point in stored.content["points"].items():
            block.mark(name, Snapshot(point["length"], tuple(point["caches"])))
        block.stored = block.readers
        return block

    def keep(self, blocks: Sequence[Block], owner: str | None) -> Iterator[None]:
        """Keep a text, a block a step: those that are new, and those that more readers have come to hold."""
        self._tier.look()
        for block in blocks:
            there = bool(block.stored) and self._tier.has(block.key)  # the disk may have let it go since
            if there and block.stored == block.readers:
                continue
            content = {
                "parts": {name: list(part) for name, part in block.parts.items()},
                "points": {
                    name: {"length": point.length, "caches": list(point.caches)} for name, point in block.points.items()
                },
            }
            stored = StoredBlock(block.key, block.parent, block.token_ids, content)
            block.stored = block.readers if self._tier.save(stored, anew=there) else frozenset()
            yield
        self._tier.keep_text([block.key for block in blocks], owner)

    def forget(self, owner: str | None) -> None:
        """Delete what only this owner's texts hold; all, where nobody is named."""
        if owner is None:
            self._tier.forget_all()
        else:
            self._tier.forget_owner(owner)


def forget_on_disk(owner: str | None) -> None:
    """As `SlowBlocks.forget`, for what any model has read, also where nothing is loaded or written now."""
    try:
        shelves = Shelves(prefixes_folder())
        if owner is None:
            shelves.forget_all()
        else:
            shelves.forget_owner(owner)
    except (OSError, StorageError) as error:
        logger.warning("What was read could not be deleted from the disk: %s.", error)
