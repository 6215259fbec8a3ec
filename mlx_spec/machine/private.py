"""Files and folders that only their owner may read, written whole or not at all."""

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_PART: Final = re.compile(r"\.[0-9a-f]{16}\.part")


def make_private(folder: Path) -> None:
    """Have a folder that nobody else may enter, whatever the umask, and whatever it was before. Raises OSError."""
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o777 != FOLDER_MODE:
        folder.chmod(FOLDER_MODE)


def write_private(path: Path, data: bytes | memoryview) -> None:
    """Write a file that nobody else may read; also when the process is killed meanwhile, the old one is there, or none,
    or the new one. Raises OSError, and leaves nothing behind then."""
    part = path.parent / f".{secrets.token_hex(8)}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        handle = os.open(part, flags, FILE_MODE)
        try:
            os.fchmod(handle, FILE_MODE)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def read_private(path: Path) -> bytes:
    """All of a file, and no other's that a link leads to. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as stream:
        return stream.read()


def is_part(name: str) -> bool:
    """Whether a file of this name is one that `write_private` had not finished."""
    return _PART.fullmatch(name) is not None


def files_in(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The files in a folder, without links; none where there is no folder. Raises OSError where it cannot be read."""
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        yield from (entry for entry in entries if entry.is_file(follow_symlinks=False))
