"""The tier on disk for what was read of texts: it outlives the process, and answers never wait for it to be right.

Blocks are written first, then the text that holds them; a text is deleted first, then its blocks. So whatever ends the
process, what a text holds is there. Nothing is believed whose bytes are not the very ones that were written. Where the
disk refuses, that is said once, and answers go on without it.
"""

import errno
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

from mlx_spec.decoding.cache.blocks.kept_text import KeptText
from mlx_spec.decoding.cache.blocks.shelves import DiskUsage, Shelves
from mlx_spec.decoding.cache.blocks.stored import BlockName, StoredBlock, packed, unpacked
from mlx_spec.machine.private import make_private, read_private

# These say of this process that it is short of something, and nothing of a file.
_SHORTAGES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

logger = logging.getLogger(__name__)


class DiskTier:
    """The blocks and texts of one identity, among those of others in `folder`, which together take no more than
    `capacity_bytes`: the text that was of no use for longest goes first.

    Any number of processes may use a folder at once. Belongs to the thread that owns MLX, except `usage`.
    """

    def __init__(
        self, folder: Path, identity: str, capacity_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        """Look at what is there. Raises OSError for a folder that cannot be had, ValueError for an identity that is no
        name of a folder."""
        make_private(folder)
        self._folder, self._clock = folder, clock
        self._capacity_bytes = capacity_bytes
        self._shelves = Shelves(folder, clock)
        self._shelf = self._shelves.shelf(identity)
        self._identity = identity
        self._shelf.make()
        self._writes = True
        self._unkeepable: set[str] = set()
        self._shelves.make_room(0, capacity_bytes)
        self.usage: DiskUsage = self._shelves.usage
        """What all identities take. From any thread."""

    @classmethod
    def opened(cls, folder: Path, identity: str, capacity_bytes: int) -> Self | None:
        """The tier in a folder; None, with a line in the log, where that cannot be had."""
        try:
            return cls(folder, identity, capacity_bytes)
        except OSError as error:
            logger.warning("%s cannot be used (%s): nothing is kept on disk.", folder, error.strerror or error)
            return None

    def has(self, key: bytes) -> bool:
        """Whether a block is there now."""
        return self._shelf.has(key)

    def load(self, key: bytes) -> StoredBlock | None:
        """A block, whose arrays need its file no more; None where it is not there. One that is damaged is dropped."""
        block = self._shelf.known.blocks.get(key)
        if block is None:
            return None
        try:
            return unpacked(block.name, self._identity, read_private(self._shelf.path(block.name)))
        except FileNotFoundError:  # somebody else has deleted it
            self._shelf.lose_block(key)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in _SHORTAGES:
                logger.warning("%s cannot be read now (%s).", self._shelf.path(block.name), error.strerror)
                return None
            logger.warning("%s is damaged and was dropped (%s).", self._shelf.path(block.name), error)
            self._shelf.drop_block(key)
        self.usage = self._shelves.usage
        return None

    def look(self) -> None:
        """Look what others have done, where that was last done a while ago: before a text is saved, as what nobody has
        held for long is deleted then."""
        if not self._writes:
            return
        try:
            self._shelves.look_now_and_then()
        except OSError as error:
            self._switch_off(error)
        self.usage = self._shelves.usage

    def save(self, block: StoredBlock, *, anew: bool = False) -> bool:
        """Keep a block, after its parent, where it is not there already; with `anew`, in the place of what is there. Of
        a text for which there is no room even without all others, the beginning is kept. Whether the block is there
        now."""
        if not self._writes or (block.parent and not self._shelf.has(block.parent)):
            return False
        if not anew and self._shelf.has(block.key):
            return True
        try:
            data = packed(block)
        except TypeError as error:
            if str(error) not in self._unkeepable:
                logger.warning("What was read of a text is not kept on disk: %s.", error)
            self._unkeepable.add(str(error))
            return False
        name = BlockName.of(self._identity, block.key, block.parent, data)
        try:
            if self._has_room(len(data), block.parent):
                self._shelf.write_block(name, data)
        except OSError as error:
            self._switch_off(error)
        self.usage = self._shelves.usage
        return self._shelf.has(block.key)

    def keep_text(self, keys: Sequence[bytes], owner: str | None) -> None:
        """Keep a text, whose blocks were saved: the chain of them, from the first, as far as they are there. `owner` is
        the id of the chat that it is a reading of. It takes the place of the texts that it goes on from, the owner's
        and nobody's; kept again, it is as good as new."""
        self.look()
        there = tuple(keys[: next((i for i, key in enumerate(keys) if not self._shelf.has(key)), len(keys))])
        if not self._writes or not there:
            return
        try:
            text = KeptText(there, owner, self._clock())
            kept = self._shelf.write_text(text)
            for name, other in list(self._shelf.known.texts.items()):
                if name != kept and other.owner in (owner, None) and other.begins(there):
                    self._shelf.drop_text(name)
            self._shelves.make_room(0, self._capacity_bytes, text=kept)
        except OSError as error:
            self._switch_off(error)
        self.usage = self._shelves.usage

    def forget_owner(self, owner: str) -> None:
        """Delete an owner's texts, then the blocks that no other text holds, of all identities. Call it when no answer
        of that owner is under way."""
        self._shelves.forget_owner(owner)
        self.usage = self._shelves.usage

    def forget_all(self) -> None:
        """Delete everything, of all identities."""
        self._shelves.forget_all()
        self.usage = self._shelves.usage

    def children(self, parent: bytes) -> list[bytes]:
        """The blocks known to follow one, or, after `b""`, to begin a text."""
        return list(self._shelf.known.children.get(parent, ()))

    def _has_room(self, size_bytes: int, parent: bytes) -> bool:
        """Make room for a block behind `parent`; what it needs to be of use stays. Raises OSError."""
        if self._shelves.size_bytes + size_bytes <= self._capacity_bytes:
            return True
        self._shelves.look_now_and_then()
        chain = dict.fromkeys(self._shelf.chain(parent))
        return self._shelves.make_room(size_bytes, self._capacity_bytes, chain)

    def _switch_off(self, error: OSError) -> None:
        self._writes = False
        reason = error.strerror or str(error)
        logger.warning("%s cannot be written to (%s): no more is kept on disk.", self._folder, reason)
