"""What one pair's readings take on disk: a folder of blocks, one of texts, and what is known of both.

The folder is the truth: other processes write and delete there too. What is known was right when `look` last looked,
or was done here since; a file that is gone is no error.
"""

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from os import DirEntry
from pathlib import Path
from typing import Final

from mlx_spec.decoding.cache.blocks import kept_text
from mlx_spec.decoding.cache.blocks.kept_text import KeptText
from mlx_spec.decoding.cache.blocks.stored import BlockName
from mlx_spec.machine.private import files_in, is_part, make_private, read_private, write_private

UNCLAIMED_S: Final = 3600.0
"""A block that no text holds, or half a file, is left alone for so long: it may belong to an answer under way."""
CLOCKS_DIFFER_S: Final = 60.0
"""A folder on another machine has its clock."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BlockFile:
    """A block's file, with when it was written, in seconds since 1970."""

    name: BlockName
    size_bytes: int
    written_s: float


@dataclass(slots=True)
class Known:
    """What is in the two folders. `texts` are by their files' names; of each, `held` are the blocks that are there
    from its first on: what stands behind a gap is of no use. `holders` counts the texts that hold a block."""

    blocks: dict[bytes, BlockFile] = field(default_factory=dict)
    texts: dict[str, KeptText] = field(default_factory=dict)
    held: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    text_bytes: dict[str, int] = field(default_factory=dict)
    holders: Counter[bytes] = field(default_factory=Counter)
    children: dict[bytes, list[bytes]] = field(default_factory=dict)
    unclaimed: set[bytes] = field(default_factory=set)
    size_bytes: int = 0


class Shelf:
    """The blocks and texts of one identity, in the folder of that name. Belongs to one thread."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self.identity = folder.name
        self.known = Known()
        self._folder, self._blocks, self._texts = folder, folder / "blocks", folder / "texts"
        self._clock = clock
        self._read: dict[str, tuple[tuple[int, ...], KeptText]] = {}  # what `look` need not read again
        self._refuses = False

    def make(self) -> None:
        """Have the folders. Raises OSError."""
        for folder in (self._folder, self._blocks, self._texts):
            make_private(folder)

    def look(self) -> None:
        """Look at what is there: at names alone of blocks, into texts. Half a file and a block that no text holds are
        deleted when they are old. Raises OSError for a folder that cannot be read."""
        self.known = Known()
        for entry, size, written_s in self._entries(self._blocks):
            if (block := BlockName.read(entry.name)) is not None:
                self._found(BlockFile(block, size, written_s))
        for entry, size, _ in list(self._entries(self._texts)):
            if entry.name.endswith(kept_text.SUFFIX) and (text := self._text(entry)) is not None:
                self._hold(entry.name, text, size)
        self._read = {name: read for name, read in self._read.items() if name in self.known.texts}
        for name in [name for name, held in self.known.held.items() if not held]:
            self.drop_text(name)
        for key in [key for key in self.known.unclaimed if self._is_old(self.known.blocks[key].written_s)]:
            self.drop_block(key)

    def path(self, name: BlockName) -> Path:
        """A block's file."""
        return self._blocks / str(name)

    def has(self, key: bytes) -> bool:
        """Whether a block is there, which the disk is asked: somebody else may have deleted it."""
        known = self.known.blocks.get(key)
        if known is None:
            return False
        if self.path(known.name).is_file():
            return True
        self.lose_block(key)
        return False

    def write_block(self, name: BlockName, data: memoryview) -> None:
        """Write a block, in the place of one of the same key. Raises OSError."""
        before = self.known.blocks.get(name.key)
        self._write(self.path(name), data)
        if before is not None:
            self.lose_block(name.key)
            if before.name != name:
                self._unlink(self.path(before.name))
        self._add(BlockFile(name, len(data), self._clock()))

    def drop_block(self, key: bytes) -> None:
        """Delete a block, and know it no more."""
        if (block := self.known.blocks.get(key)) is not None:
            self._unlink(self.path(block.name))
            self.lose_block(key)

    def lose_block(self, key: bytes) -> None:
        """Know a block no more that is not there. Texts that hold it still do, should it be written again."""
        block = self.known.blocks.pop(key)
        self.known.size_bytes -= block.size_bytes
        self.known.unclaimed.discard(key)
        siblings = self.known.children[block.name.parent]
        siblings.remove(key)
        if not siblings:
            del self.known.children[block.name.parent]

    def write_text(self, text: KeptText) -> str:
        """Write a text whose blocks are there, in the place of the same one of an earlier time; its name. Raises
        OSError."""
        name, data = text.name(self.identity), kept_text.written(text, self.identity)
        self._write(self._texts / name, data)
        if name in self.known.texts:
            self._release(name)
        self._hold(name, text, len(data))
        return name

    def drop_text(self, name: str, spare: Collection[bytes] = ()) -> None:
        """Delete a text, then the blocks that no other one holds, but those in `spare`."""
        held = self._release(name)
        self._unlink(self._texts / name)
        for key in held:
            if not self.known.holders[key] and key in self.known.blocks:
                if key in spare:
                    self.known.unclaimed.add(key)
                else:
                    self.drop_block(key)

    def chain(self, key: bytes) -> list[bytes]:
        """The blocks that lead to one, itself first, as far as they are known."""
        found: list[bytes] = []
        while (block := self.known.blocks.get(key)) is not None and len(found) <= len(self.known.blocks):
            found.append(key)
            key = block.name.parent
        return found

    def clear(self) -> None:
        """Delete all of it, half files too."""
        for folder in (self._texts, self._blocks):
            for entry in list(files_in(folder)):
                if self._is_ours(entry.name):
                    self._unlink(Path(entry.path))
        self.known = Known()

    def remove_empty(self) -> None:
        """Delete the folders where nothing is in them; they are made again when something is written."""
        with contextlib.suppress(OSError):
            for folder in (self._blocks, self._texts, self._folder):
                folder.rmdir()

    def _entries(self, folder: Path) -> Iterator[tuple[DirEntry[str], int, float]]:
        """The files in a folder with their sizes and when they were written."""
        for entry in files_in(folder):
            try:
                state = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if is_part(entry.name) and self._is_old(state.st_mtime):
                self._unlink(Path(entry.path))
            yield entry, state.st_size, state.st_mtime

    def _is_old(self, written_s: float) -> bool:
        """A time that is yet to come is none: a clock was put back."""
        return not -CLOCKS_DIFFER_S <= self._clock() - written_s <= UNCLAIMED_S

    @staticmethod
    def _is_ours(name: str) -> bool:
        return is_part(name) or name.endswith(kept_text.SUFFIX) or BlockName.read(name) is not None

    def _found(self, block: BlockFile) -> None:
        """Two processes may have written a block with other bytes: the newer one stays."""
        other = self.known.blocks.get(block.name.key)
        if other is not None and other.written_s > block.written_s:
            self._unlink(self.path(block.name))
            return
        if other is not None:
            self.drop_block(block.name.key)
        self._add(block)

    def _text(self, entry: DirEntry[str]) -> KeptText | None:
        """The text in a file; None where it is gone. One that is damaged is dropped."""
        path = Path(entry.path)
        try:
            state = entry.stat(follow_symlinks=False)
            stamp = (state.st_ino, state.st_size, state.st_mtime_ns)
            if (before := self._read.get(entry.name)) is None or before[0] != stamp:
                before = stamp, kept_text.read(read_private(path), self.identity)
            self._read[entry.name] = before
            return before[1]
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logger.warning("%s is damaged and was dropped (%s).", path, error)
            self._unlink(path)
            return None

    def _add(self, block: BlockFile) -> None:
        known, key = self.known, block.name.key
        known.blocks[key] = block
        known.size_bytes += block.size_bytes
        known.children.setdefault(block.name.parent, []).append(key)
        if not known.holders[key]:
            known.unclaimed.add(key)

    def _hold(self, name: str, text: KeptText, size_bytes: int) -> None:
        known = self.known
        known.texts[name], known.text_bytes[name] = text, size_bytes
        known.held[name] = tuple(takewhile(known.blocks.__contains__, text.keys))
        known.size_bytes += size_bytes
        known.holders.update(known.held[name])
        known.unclaimed.difference_update(known.held[name])

    def _release(self, name: str) -> tuple[bytes, ...]:
        """Know a text no more; the blocks that it held, of which some may be held by nobody now."""
        known = self.known
        held = known.held.pop(name)
        known.size_bytes -= known.text_bytes.pop(name)
        del known.texts[name]
        known.holders.subtract(held)
        for key in held:
            if not known.holders[key]:
                del known.holders[key]
        return held

    def _write(self, path: Path, data: bytes | memoryview) -> None:
        try:
            write_private(path, data)
        except FileNotFoundError:  # somebody has deleted the folder
            self.make()
            write_private(path, data)

    def _unlink(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            if not self._refuses:
                logger.warning("%s and maybe others cannot be deleted (%s).", path, error.strerror or error)
            self._refuses = True
