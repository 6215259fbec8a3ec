"""The checksum of a file while it arrives, computed beside the thread that receives it."""

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final, Protocol

_BATCH_BYTES: Final = 2_000_000
_READ_BYTES: Final = 1_000_000


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


def _digest_for(etag: str, size_bytes: int) -> _Digest:
    """sha256 for a large file's etag, git's sha1 of a blob for a small one's: told apart by their length."""
    if len(etag) == 64:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)


def _feed(digest: _Digest, batch: list[bytes]) -> None:
    for piece in batch:
        digest.update(piece)


class Checksum:
    """Takes pieces in order and says whether they are the bytes that `etag` names. Close it in any case."""

    def __init__(self, etag: str, size_bytes: int) -> None:
        self._etag = etag
        self._size_bytes = size_bytes
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checksum")
        self.restart()

    def restart(self) -> None:
        """Begin again at the file's first byte."""
        self._digest = _digest_for(self._etag, self._size_bytes)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._running: Future[None] | None = None

    def add(self, piece: bytes) -> None:
        """Take the next bytes. At most two batches wait, so that memory stays small."""
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)
        if self._waiting_bytes >= _BATCH_BYTES:
            self._submit()

    def add_file(self, stream: BinaryIO) -> None:
        """Take the rest of an open file."""
        while piece := stream.read(_READ_BYTES):
            self.add(piece)

    def matches(self) -> bool:
        """Whether all that was added is what the etag names."""
        self._submit()
        self._finish()
        return self._digest.hexdigest() == self._etag

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=True)

    def _submit(self) -> None:
        self._finish()
        batch, digest, self._waiting, self._waiting_bytes = self._waiting, self._digest, [], 0
        self._running = self._pool.submit(_feed, digest, batch)

    def _finish(self) -> None:
        if self._running is not None:
            self._running.result()


def file_matches(path: Path, etag: str) -> bool:
    """Whether the file at `path` holds the bytes that `etag` names. Raises OSError."""
    digest = _digest_for(etag, path.stat().st_size)
    with path.open("rb") as stream:
        while piece := stream.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest() == etag
