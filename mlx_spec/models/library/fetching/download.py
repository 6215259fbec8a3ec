"""One model on its way here: its files side by side, with retries; it can be paused and cancelled at any moment."""

import logging
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import httpx2

from mlx_spec.errors import DownloadError, DownloadFailure, StorageError
from mlx_spec.models.files.shards import INDEX
from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.entries import check_disk_is_there
from mlx_spec.models.library.fetching.blob import BlobRequest, fetch_blob, remove_parts
from mlx_spec.models.library.fetching.changes import Changes
from mlx_spec.models.library.fetching.side_by_side import side_by_side
from mlx_spec.models.library.fetching.snapshot import link_snapshot
from mlx_spec.models.library.fetching.speed import SpeedMeter
from mlx_spec.models.library.fetching.status import OVER, DownloadState, DownloadStatus
from mlx_spec.models.library.fetching.stop import Stop, Stopped
from mlx_spec.models.library.refusal import EXPECTED, TRANSIENT, refusal
from mlx_spec.models.library.remote import RemoteFile, RemoteModel, cached_bytes, check_shards, list_remote
from mlx_spec.models.staging import human_bytes

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How hard to try. Times in seconds.

    A try counts only where it brought no byte: `tries` of them in a row end a download, with waits that double from
    `first_wait_s` to `longest_wait_s`. `reserve_bytes` of the disk stay free.
    """

    parallel_files: int = 4
    tries: int = 8
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 20.0
    reserve_bytes: int = 200_000_000

    def wait_s(self, attempt: int) -> float:
        """How long to wait after the `attempt`-th try in a row that failed, from 1; spread, so that clients do not
        come back all at once."""
        return min(self.longest_wait_s, self.first_wait_s * 2.0 ** (attempt - 1)) * random.uniform(0.75, 1.25)


class Download:
    """Fetches one model once started. `status`, `pause`, `cancel` and `join` may be called from any thread.

    `changed` is called, from any thread and holding no lock, whenever the state has changed. `changes` numbers whatever
    is another then, every byte included; those of a queue share it. `etags` are the files that an earlier run of it
    had begun, and `is_wanted` says which ones a cancel leaves, as another download wants them.
    """

    def __init__(
        self,
        repo_id: str,
        access: HubAccess,
        *,
        commit: str | None = None,
        limits: Limits | None = None,
        changes: Changes | None = None,
        changed: Callable[["Download"], None] = lambda download: None,
        etags: frozenset[str] = frozenset(),
        is_wanted: Callable[["Download", str], bool] = lambda own, etag: False,
    ) -> None:
        self.repo_id = repo_id
        self._access = access
        self._limits = limits or Limits()
        self._changed = changed
        self._etags = etags
        self._is_wanted = is_wanted
        self._runs = False
        self._dropped = False
        self._changes = changes or Changes()
        with self._changes.making() as number:
            self._status = DownloadStatus(repo_id=repo_id, revision=number, commit=commit)
        self._here: dict[str, int] = {}
        self._retry_at_s: float | None = None
        self._speed = SpeedMeter()
        self._stop = Stop()
        self._thread = threading.Thread(target=self._run, name=f"download {repo_id}", daemon=True)

    def start(self) -> None:
        """Begin, once."""
        self._runs = True
        self._thread.start()

    @property
    def etags(self) -> frozenset[str]:
        """The files that it wants, as far as it knows them, and those that an earlier run of it wanted."""
        with self._changes.reading():
            return self._etags

    def status(self) -> DownloadStatus:
        """Where it stands now."""
        with self._changes.reading():
            status = self._status
            if not self._here:
                return status
            done = sum(self._here.values())
            speed = self._speed.bytes_per_second(done) if status.state == "downloading" else None
            retry = max(0.0, self._retry_at_s - time.monotonic()) if self._retry_at_s is not None else None
        left = (status.total_bytes - done) / speed if speed and status.total_bytes is not None else None
        return replace(status, done_bytes=done, speed_bytes_s=speed, left_s=left, retry_in_s=retry)

    def pause(self) -> None:
        """Stop, and keep what has arrived. Told at once; the last thread may take a moment to notice."""
        self._end("paused")

    def cancel(self) -> None:
        """Stop, and remove what has arrived of files that are not complete; also after a pause or a failure."""
        with self._changes.reading():
            self._dropped = self._status.state not in ("finishing", "done")
            runs = self._runs
        self._end("cancelled")
        if self._dropped and not runs:
            self._remove_parts()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing of it runs any more; whether that is so."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _end(self, state: DownloadState) -> None:
        with self._changes.reading():
            over = self._status.state in OVER or self._status.state == "finishing"
        if not over:
            self._tell(state)
            self._stop.set()

    def _run(self) -> None:
        try:
            check_disk_is_there(self._access.cache_folder)
            model = self._list()
            self._check_disk(model)
            self._fetch(model)
            self._stop.check()
            self._tell("finishing")
            folder = self._retried(lambda: link_snapshot(model, self._access))
            self._tell("done", folder=str(folder))
        except Stopped:
            pass
        except StorageError as error:
            self._tell("failed", kind="disk_full", message=str(error))
        except EXPECTED as error:
            told = refusal(error, self.repo_id, self._access)
            self._tell("failed", kind=told.kind, message=str(told), page=told.page)
        except Exception as error:  # a bug: told as the status, and the process lives on
            logger.exception("The download of %s failed.", self.repo_id)
            said = f"{self.repo_id} could not be fetched: {type(error).__name__}: {error}"
            self._tell("failed", kind="server", message=said)
        finally:
            with self._changes.reading():
                self._runs = False
                dropped = self._dropped
            if dropped:
                self._remove_parts()

    def _remove_parts(self) -> None:
        remove_parts(self.repo_id, self._access, self.etags, lambda etag: self._is_wanted(self, etag))

    def _list(self) -> RemoteModel:
        self._tell("listing")
        commit = self._status.commit
        try:
            model = self._retried(lambda: list_remote(self.repo_id, self._access, commit))
        except DownloadError as error:
            if commit is None or error.kind != "not_found":
                raise
            # The commit that was begun is gone from the Hub: what is there now may share its large files.
            model = self._retried(lambda: list_remote(self.repo_id, self._access))
        blobs = self._access.repo_folder(self.repo_id) / "blobs"
        with self._making():
            self._here = {file.etag: cached_bytes(blobs, file) for file in model.files}
            total = sum({file.etag: file.size_bytes for file in model.files}.values())
            files = len(model.files)
            self._etags |= frozenset(self._here)
            self._status = replace(self._status, total_bytes=total, files_total=files, commit=model.commit)
        self._tell("downloading")
        return model

    def _check_disk(self, model: RemoteModel) -> None:
        folder = self._access.cache_folder
        folder.mkdir(parents=True, exist_ok=True)
        needed, free = model.bytes_to_fetch(self._access), shutil.disk_usage(folder).free
        if needed and free < needed + self._limits.reserve_bytes:
            raise DownloadError(
                f"{model.repo_id} needs {human_bytes(needed)} more of disk space, but only {human_bytes(free)} are free"
                f" in {folder}, so free some space or move the cache.",
                "disk_full",
            )

    def _fetch(self, model: RemoteModel) -> None:
        """All files, small ones first: a model that cannot be used shows that early. Raises the first failure."""
        files = sorted({file.etag: file for file in model.files}.values(), key=lambda file: file.size_bytes)
        timeout = httpx2.Timeout(self._limits.read_timeout_s, connect=self._limits.connect_timeout_s)
        with httpx2.Client(timeout=timeout, follow_redirects=True) as client:
            for file in [file for file in files if file.path == INDEX]:
                # Before gigabytes that would be of no use: the index may name weights that are not there.
                self._fetch_file(model, file, client)
                self._check_index(model, file)
                files.remove(file)
            # One lost file loses the model, so the others need not go on; what they have stays.
            side_by_side(
                lambda file: self._fetch_file(model, file, client), files, self._limits.parallel_files, self._stop.set
            )

    def _check_index(self, model: RemoteModel, file: RemoteFile) -> None:
        blob = self._access.repo_folder(self.repo_id) / "blobs" / file.etag
        check_shards(self.repo_id, [one.path for one in model.files], blob.read_text(encoding="utf-8"))

    def _fetch_file(self, model: RemoteModel, file: RemoteFile, client: httpx2.Client) -> None:
        request = BlobRequest(
            repo_id=model.repo_id,
            commit=model.commit,
            file=file,
            access=self._access,
            reserve_bytes=self._limits.reserve_bytes,
        )
        self._retried(lambda: fetch_blob(request, client, self._stop, lambda size: self._has(file, size)), file)
        with self._making():
            same = sum(other.etag == file.etag for other in model.files)
            self._status = replace(self._status, files_done=self._status.files_done + same)

    def _retried(self, work: Callable[[], T], file: RemoteFile | None = None) -> T:
        """Do `work` until it succeeds. Raises Stopped, or DownloadError where trying again is of no use."""
        failures, wrong = 0, 0
        while True:
            before = self._size(file)
            try:
                return work()
            except Stopped:
                raise
            except EXPECTED as error:
                told = refusal(error, self.repo_id, self._access)
            self._stop.check()  # a connection that we shut down fails, too
            if told.kind == "checksum":
                wrong += 1
                if wrong > 1:
                    raise told
                continue
            failures = 1 if self._size(file) > before else failures + 1
            hopeless = isinstance(told.__cause__, httpx2.TooManyRedirects) or told.kind not in TRANSIENT
            if hopeless or failures >= self._limits.tries:
                raise told
            self._wait(told, told.retry_after_s or self._limits.wait_s(failures))

    def _wait(self, told: DownloadError, seconds: float) -> None:
        with self._making():
            before = self._status.state if self._status.state != "waiting" else "downloading"
            self._retry_at_s = time.monotonic() + seconds
        self._tell("waiting", kind=told.kind, message=str(told))
        self._stop.wait(seconds)
        with self._making():
            self._retry_at_s = None
        self._tell(before)

    @contextmanager
    def _making(self) -> Iterator[None]:
        """Hold the lock for a change of this download."""
        with self._changes.making() as number:
            self._status = replace(self._status, revision=number)
            yield

    def _has(self, file: RemoteFile, size: int) -> None:
        with self._making():
            self._here[file.etag] = size
            self._speed.update(sum(self._here.values()))

    def _size(self, file: RemoteFile | None) -> int:
        with self._changes.reading():
            return self._here.get(file.etag, 0) if file is not None else 0

    def _tell(
        self,
        state: DownloadState,
        *,
        kind: DownloadFailure | None = None,
        message: str | None = None,
        page: str | None = None,
        folder: str | None = None,
    ) -> None:
        with self._changes.reading():
            if self._status.state in OVER:
                return  # a person's word, or the end, is not taken back by a thread that has not noticed yet
            with self._making():
                self._status = replace(self._status, state=state, kind=kind, message=message, page=page, folder=folder)
        self._changed(self)
