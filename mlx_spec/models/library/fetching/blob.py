"""One file of a model on its way into the Hub's cache: resumed by Range, checked, and only then put in place.

The bytes grow in `blobs/ETAG.part`, which survives whatever ends the process; the finished file is `blobs/ETAG`, as
huggingface_hub names it. The lock is huggingface_hub's own for that blob, so no two processes fetch the same bytes.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import filelock
import httpx2
from huggingface_hub.utils._http import hf_raise_for_status

from mlx_spec.errors import DownloadError
from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.checksum import Checksum, file_matches
from mlx_spec.models.library.fetching.stop import Stop
from mlx_spec.models.library.remote import RemoteFile
from mlx_spec.models.staging import human_bytes

_LOCK_POLL_S: Final = 0.2
_DISK_CHECK_BYTES: Final = 50_000_000
Tell = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRequest:
    """What to fetch from where. `reserve_bytes` stay free on the disk, whatever else fills it meanwhile."""

    repo_id: str
    commit: str
    file: RemoteFile
    access: HubAccess
    reserve_bytes: int

    @property
    def blob(self) -> Path:
        """Where the finished file lies."""
        return self.access.repo_folder(self.repo_id) / "blobs" / self.file.etag

    @property
    def part(self) -> Path:
        """Where its bytes gather."""
        return self.blob.with_name(f"{self.file.etag}.part")

    @property
    def lock(self) -> Path:
        """The file that is locked while this blob is fetched."""
        return _lock_path(self.repo_id, self.access, self.file.etag)


def fetch_blob(request: BlobRequest, client: httpx2.Client, stop: Stop, tell: Tell) -> None:
    """Fetch what is missing of a file; `tell` gets the number of its bytes that are here.

    Raises Stopped when asked to, DownloadError for a wrong checksum or a full disk, and what httpx, huggingface_hub
    and the file system raise. What has arrived stays in `part`, except bytes that turned out wrong.
    """
    request.blob.parent.mkdir(parents=True, exist_ok=True)
    with _locked(request.lock, stop, lambda: tell(_size(request.part))):
        if not _is_whole(request):
            _complete(request, client, stop, tell)
        tell(request.file.size_bytes)


def _is_whole(request: BlobRequest) -> bool:
    """Whether the finished file is here. Whatever wrote it may have been cut short: it goes on from its end then. Of
    weights the length is believed, as reading gigabytes takes minutes; all else is compared with its checksum."""
    file, size = request.file, _size(request.blob)
    if not request.blob.is_file():
        return False
    if size == file.size_bytes and (file.is_weights or file_matches(request.blob, file.etag)):
        return True
    if _size(request.part) < size < file.size_bytes:
        request.blob.replace(request.part)
    else:
        request.blob.unlink()
    return False


def _complete(request: BlobRequest, client: httpx2.Client, stop: Stop, tell: Tell) -> None:
    file = request.file
    checksum = Checksum(file.etag, file.size_bytes)
    try:
        with request.part.open("a+b", buffering=0) as part:
            if part.tell() > file.size_bytes:
                part.truncate(0)
            part.seek(0)
            checksum.add_file(part)
            tell(part.tell())
            if part.tell() < file.size_bytes:
                _receive(request, client, part, checksum, stop, tell)
        if not checksum.matches():
            request.part.unlink()
            said = f"{file.path} of {request.repo_id} arrived with another checksum than the Hub gives for it."
            raise DownloadError(said, "checksum")
        request.part.replace(request.blob)
    finally:
        checksum.close()


def _receive(
    request: BlobRequest, client: httpx2.Client, part: BinaryIO, checksum: Checksum, stop: Stop, tell: Tell
) -> None:
    """Append to `part` until it is as long as the file, and no longer, whatever the server would send."""
    stop.check()
    with _answer(request, client, part.tell(), stop) as answer:
        if answer.status_code != 206 and part.tell():
            part.truncate(0)  # the server did not go on where it was asked to: everything comes again
            part.seek(0)
            checksum.restart()
        received = part.tell()
        next_check = received
        for piece in answer.iter_raw():
            stop.check()
            if received >= next_check:
                _check_disk(request, request.file.size_bytes - received)
                next_check = received + _DISK_CHECK_BYTES
            wanted = piece[: request.file.size_bytes - received]
            _write(part, wanted)
            checksum.add(wanted)
            received += len(wanted)
            tell(received)
            if received == request.file.size_bytes:
                return
    stop.check()
    raise httpx2.RemoteProtocolError(f"{request.file.path} ended after {received} bytes")


@contextmanager
def _answer(request: BlobRequest, client: httpx2.Client, start: int, stop: Stop) -> Iterator[httpx2.Response]:
    """The Hub's answer from byte `start` on. The token goes to the Hub only: httpx drops it at a redirect elsewhere."""
    access = request.access
    url = access.file_address(request.repo_id, request.commit, request.file.path)
    # Compressed bytes could not be resumed.
    headers = {"Accept-Encoding": "identity"}
    if access.token:
        headers["Authorization"] = f"Bearer {access.token}"
    if start:
        headers["Range"] = f"bytes={start}-"
    with client.stream("GET", url, headers=headers, extensions={"trace": stop.trace}) as answer:
        if answer.status_code == 416:
            request.part.unlink(missing_ok=True)  # there is nothing to go on with: the next try begins anew
        hf_raise_for_status(answer)
        said = answer.headers.get("content-range", "")
        if answer.status_code == 206 and not said.startswith(f"bytes {start}-"):
            raise httpx2.RemoteProtocolError(f"asked for bytes from {start}, got {said!r}")
        yield answer


def _write(part: BinaryIO, piece: bytes) -> None:
    """Write all of it: an unbuffered file may take less at a time."""
    rest = memoryview(piece)
    while rest:
        rest = rest[part.write(rest) :]


def _check_disk(request: BlobRequest, missing_bytes: int) -> None:
    free = shutil.disk_usage(request.blob.parent).free
    # Not the whole file: what is left of the others was looked at before, and space may yet be made.
    if free < min(missing_bytes, _DISK_CHECK_BYTES) + request.reserve_bytes:
        raise DownloadError(
            f"Only {human_bytes(free)} are free on the disk of {request.access.cache_folder}, so {request.repo_id}"
            " was stopped: free some space and resume it, nothing is lost.",
            "disk_full",
        )


@contextmanager
def _locked(path: Path, stop: Stop, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock at `path`; `waiting` is called now and then while another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, mode=0o664)
    while True:
        stop.check()
        try:
            lock.acquire(blocking=False)
            break
        except filelock.Timeout:
            waiting()
            stop.wait(_LOCK_POLL_S)
    try:
        yield
    finally:
        lock.release()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _lock_path(repo_id: str, access: HubAccess, etag: str) -> Path:
    """The file that huggingface_hub locks, too, while it fetches a blob."""
    return access.cache_folder / ".locks" / access.repo_folder(repo_id).name / f"{etag}.lock"


def begun_etags(repo_id: str, access: HubAccess) -> frozenset[str]:
    """The etags of all unfinished files in a model's folder, whichever of its revisions brought them."""
    return frozenset(path.stem for path in (access.repo_folder(repo_id) / "blobs").glob("*.part"))


def remove_parts(
    repo_id: str, access: HubAccess, etags: Iterable[str], is_wanted: Callable[[str], bool] = lambda etag: False
) -> None:
    """Remove what has arrived of the unfinished files `etags`, and the model's folder where nothing else is in it.

    What `is_wanted` by another download stays, and so does what somebody is fetching right now. All revisions of a
    model share one folder, and with it the bytes that they have in common.
    """
    blobs = access.repo_folder(repo_id) / "blobs"
    for etag in etags:
        part = blobs / f"{etag}.part"
        if part.is_file():
            with (
                contextlib.suppress(filelock.Timeout),
                filelock.FileLock(_lock_path(repo_id, access, etag), blocking=False, mode=0o664),
            ):
                # Asked with the lock held: whoever begins to want it from now on finds nothing, and begins anew.
                if not is_wanted(etag):
                    part.unlink(missing_ok=True)
    for folder in (blobs, blobs.parent):
        with contextlib.suppress(OSError):  # it is not there, or holds something: finished files, another revision
            folder.rmdir()
