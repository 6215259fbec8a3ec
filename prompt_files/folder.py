"""The files in a folder, before anybody reads them."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_FILES: Final = 2000


@dataclass(frozen=True, slots=True)
class FolderListing:
    """The files below `folder` in the order of their paths, `size_bytes` of them all together.

    `is_whole` is False where the folder held more than `MAX_FILES` and the walk ended early.
    """

    folder: Path
    files: tuple[Path, ...]
    size_bytes: int
    is_whole: bool = True


def list_folder(folder: Path, should_stop: Callable[[], bool] = lambda: False) -> FolderListing:
    """Walk a folder. Hidden files and folders are left out, as are links that lead to where the walk has been.

    Raises nothing: a folder that cannot be listed is as good as empty.
    """
    files: list[Path] = []
    size_bytes, is_whole = 0, True
    for path, size in _walk(folder):
        if len(files) == MAX_FILES or should_stop():
            is_whole = False
            break
        files.append(path)
        size_bytes += size
    return FolderListing(folder, tuple(sorted(files)), size_bytes, is_whole)


def _walk(folder: Path) -> Iterator[tuple[Path, int]]:
    """Files with their sizes in bytes. What was visited is known by device and inode, so a loop of links ends."""
    pending, seen = [folder], set[tuple[int, int]]()
    while pending:
        entries = list(_entries(pending.pop(), seen))
        yield from ((Path(entry.path), size) for entry, size in entries if entry.is_file())
        pending += [Path(entry.path) for entry, _ in reversed(entries) if entry.is_dir()]


def _entries(folder: Path, seen: set[tuple[int, int]]) -> Iterator[tuple[os.DirEntry[str], int]]:
    try:
        own = folder.stat()
        seen.add((own.st_dev, own.st_ino))
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            info = entry.stat()
        except OSError:  # a link that leads nowhere, or into itself
            continue
        if (info.st_dev, info.st_ino) not in seen:
            seen.add((info.st_dev, info.st_ino))
            yield entry, info.st_size
