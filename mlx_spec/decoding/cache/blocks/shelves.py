"""All that is kept on disk of what was read, whoever read it: the limit is for all of it, and so is a deletion.

Needs no model: a chat can be deleted while another model is loaded, or none.
"""

import contextlib
import logging
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlx_spec.decoding.cache.blocks.shelf import CLOCKS_DIFFER_S, Shelf
from mlx_spec.machine.resources import data_folder

IDENTITY: Final = re.compile(r"[0-9a-z][0-9a-z-]{0,63}")
LOOK_S: Final = 60.0
"""For so long it is not looked what other processes have done meanwhile, unless something is to be forgotten."""

logger = logging.getLogger(__name__)


def prefixes_folder() -> Path:
    """Where what was read is kept; it need not be there. Raises StorageError as `data_folder`."""
    return data_folder() / "prefixes"


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """What all shelves take."""

    size_bytes: int = 0
    num_blocks: int = 0
    num_texts: int = 0


@dataclass(frozen=True, slots=True)
class _Oldest:
    """What has been of no use for longest: a text, or a block that no text holds."""

    used_s: float
    shelf: Shelf
    text: str | None
    block: bytes | None


class Shelves:
    """The shelves in a folder, by identity. Belongs to one thread."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Look at what there is. Raises OSError for a folder that cannot be read."""
        self._folder, self._clock = folder, clock
        self._shelves: dict[str, Shelf] = {}
        self._looked_s = clock()
        self.look()

    def shelf(self, identity: str) -> Shelf:
        """The shelf of an identity. Raises ValueError for one that is no name of a folder."""
        if IDENTITY.fullmatch(identity) is None:
            raise ValueError(f"{identity!r} is no identity: it must be small letters, digits and dashes, at most 64.")
        return self._shelves.setdefault(identity, Shelf(self._folder / identity, self._clock))

    def look(self) -> None:
        """Look at what is there now. Raises OSError for a folder that cannot be read."""
        self._looked_s = self._clock()
        with contextlib.suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                if IDENTITY.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                    self.shelf(path.name)
        for shelf in self._shelves.values():
            shelf.look()

    def look_now_and_then(self) -> None:
        """Look where that was last done a while ago. Raises OSError as `look`."""
        if not 0 <= self._clock() - self._looked_s <= LOOK_S:
            self.look()

    @property
    def usage(self) -> DiskUsage:
        """What all of them take."""
        known = [shelf.known for shelf in self._shelves.values()]
        return DiskUsage(self.size_bytes, sum(len(one.blocks) for one in known), sum(len(one.texts) for one in known))

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(shelf.known.size_bytes for shelf in self._shelves.values())

    def forget_owner(self, owner: str) -> None:
        """Delete the texts of an owner, then the blocks that no other text holds; whoever wrote them, with whatever
        model. What an answer had saved when its process died may be anybody's, so it goes too."""
        self._look_or_say()
        for shelf in self._shelves.values():
            for name in [name for name, text in shelf.known.texts.items() if text.owner == owner]:
                shelf.drop_text(name)
            for key in list(shelf.known.unclaimed):
                shelf.drop_block(key)
            if not shelf.known.blocks:
                shelf.remove_empty()

    def forget_all(self) -> None:
        """Delete everything."""
        self._look_or_say()
        for shelf in self._shelves.values():
            shelf.clear()
            shelf.remove_empty()

    def make_room(self, size_bytes: int, capacity_bytes: int, chain: Collection[bytes] = (), text: str = "") -> bool:
        """Delete what was of no use for longest until `size_bytes` more are no more than `capacity_bytes`; not the
        blocks in `chain`, nor the texts that hold its first, the newest, nor `text`, a file's name. Whether it was
        enough."""
        newest, latest_s = next(iter(chain), None), self._clock() + CLOCKS_DIFFER_S
        while self.size_bytes + size_bytes > capacity_bytes:
            oldest = min(
                (one for shelf in self._shelves.values() for one in _ages(shelf, chain, newest, text)),
                # A time that is yet to come is none: a clock was put back, and what it dated would stay for ever.
                key=lambda one: one.used_s if one.used_s <= latest_s else 0.0,
                default=None,
            )
            if oldest is None:
                return False
            if oldest.text is not None:
                oldest.shelf.drop_text(oldest.text, spare=chain)
            elif oldest.block is not None:
                oldest.shelf.drop_block(oldest.block)
        return True

    def _look_or_say(self) -> None:
        try:
            self.look()
        except OSError as error:
            logger.warning("%s cannot be read (%s).", self._folder, error.strerror or error)


def _ages(shelf: Shelf, chain: Collection[bytes], newest: bytes | None, spare: str) -> list[_Oldest]:
    """What may be deleted on a shelf."""
    known = shelf.known
    texts = [
        _Oldest(text.used_s, shelf, name, None)
        for name, text in known.texts.items()
        if name != spare and newest not in known.held[name]
    ]
    blocks = [_Oldest(known.blocks[key].written_s, shelf, None, key) for key in known.unclaimed if key not in chain]
    return texts + blocks
