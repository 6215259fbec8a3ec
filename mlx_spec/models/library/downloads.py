"""All downloads of this process: a queue that survives it. The window, the terminal and the server share this one."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mlx_spec.errors import DownloadError, StorageError
from mlx_spec.models.library.access import HubAccess, hub_access
from mlx_spec.models.library.blob import remove_parts
from mlx_spec.models.library.download import Download, Limits
from mlx_spec.models.library.names import repo_id_of
from mlx_spec.models.library.records import Record, Records, record_of
from mlx_spec.models.library.status import OVER, DownloadStatus

_CLOSE_S: Final = 0.5

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Entry:
    """A download in the list: its running part, where it has one, and otherwise how it stands."""

    added_s: float
    resting: DownloadStatus
    running: Download | None = None

    def status(self) -> DownloadStatus:
        return self.running.status() if self.running is not None else self.resting


class Downloads:
    """Fetches models one after the other, each with several files at once. All methods are for any thread.

    `folder` keeps the records (`LOOKAHEAD_HOME/downloads`). `access` is asked anew for each start: a token or a mirror
    that was set meanwhile counts.
    """

    def __init__(
        self,
        folder: Path,
        *,
        access: Callable[[], HubAccess] = hub_access,
        limits: Limits | None = None,
        parallel_models: int = 1,
    ) -> None:
        self._access = access
        self._limits = limits or Limits()
        self._parallel_models = parallel_models
        self._records = Records(folder)
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.RLock()
        self._closed = False

    def restore(self) -> None:
        """Take up what an earlier process left: paused ones stay paused, all others go on."""
        with self._lock:
            for record in self._records.read():
                self._entries.setdefault(record.repo_id, _Entry(record.added_s, record.status()))
        self._fill()

    def add(self, name: str) -> DownloadStatus:
        """Queue a model by `owner/name` or its address; one that is paused or failed goes on.

        Raises ModelNotFoundError for what is no name, StorageError where the record cannot be kept.
        """
        repo_id = repo_id_of(name)
        with self._lock:
            entry = self._entries.get(repo_id)
            if entry is None or entry.status().state in ("done", "cancelled"):
                entry = self._entries[repo_id] = _Entry(time.time(), DownloadStatus(repo_id=repo_id))
            elif entry.status().state in OVER:
                entry.resting = replace(entry.status(), state="queued", kind=None, message=None, page=None)
                entry.running = None
            self._keep(repo_id, entry)
        self._fill()
        return self.status(repo_id)

    resume = add

    def pause(self, repo_id: str) -> DownloadStatus:
        """Stop a download and keep what has arrived. Raises DownloadError where there is none."""
        entry = self._entry(repo_id)
        with self._lock:
            if entry.running is None and entry.resting.state == "queued":
                entry.resting = replace(entry.resting, state="paused")
                self._keep(repo_id, entry)
        if entry.running is not None:
            entry.running.pause()
        return self.status(repo_id)

    def cancel(self, repo_id: str) -> DownloadStatus:
        """Stop a download and remove what has arrived of its unfinished files. Raises DownloadError."""
        entry = self._entry(repo_id)
        if entry.running is not None:
            entry.running.cancel()
        with self._lock:
            if entry.status().state in ("queued", "paused", "failed"):
                entry.resting = replace(entry.status(), state="cancelled")
                entry.running = None
                remove_parts(repo_id, self._access())
                self._records.remove(repo_id)
        return self.status(repo_id)

    def forget(self, repo_id: str) -> None:
        """Take one that is over, and not paused, off the list. Raises DownloadError where there is none."""
        entry = self._entry(repo_id)
        with self._lock:
            if entry.status().state in ("done", "failed", "cancelled"):
                del self._entries[repo_id]
                self._records.remove(repo_id)

    def status(self, repo_id: str) -> DownloadStatus:
        """How a download stands. Raises DownloadError where there is none."""
        return self._entry(repo_id).status()

    def statuses(self) -> list[DownloadStatus]:
        """All downloads in the order they were asked for, those over since the start included."""
        with self._lock:
            entries = sorted(self._entries.values(), key=lambda entry: entry.added_s)
        return [entry.status() for entry in entries]

    def wait(self, repo_id: str, timeout_s: float | None = None) -> DownloadStatus:
        """Wait until a download is over or paused, and return how it stands then. Raises DownloadError."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while (status := self.status(repo_id)).state not in OVER:
            if deadline is not None and time.monotonic() > deadline:
                break
            time.sleep(0.05)
        return status

    def close(self) -> bool:
        """Stop everything for the process's end; what was going on goes on at the next `restore`.

        Returns whether no thread runs any more: one that waits for a connection cannot be woken.
        """
        with self._lock:
            self._closed = True
            running = [entry.running for entry in self._entries.values() if entry.running is not None]
        for download in running:
            download.pause()
        deadline = time.monotonic() + _CLOSE_S
        return all(download.join(max(0.0, deadline - time.monotonic())) for download in running)

    def _entry(self, repo_id: str) -> _Entry:
        with self._lock:
            if repo_id not in self._entries:
                raise DownloadError(f"Nothing called {repo_id} is being downloaded.", "not_found")
            return self._entries[repo_id]

    def _fill(self) -> None:
        """Start what waits, as far as there is room."""
        with self._lock:
            entries = sorted(self._entries.values(), key=lambda entry: entry.added_s)
            busy = sum(entry.running is not None and entry.status().state not in OVER for entry in entries)
            waiting = [entry for entry in entries if entry.running is None and entry.resting.state == "queued"]
            for entry in waiting[: max(0, self._parallel_models - busy)]:
                if self._closed:
                    return
                entry.running = Download(
                    entry.resting.repo_id,
                    self._access(),
                    commit=entry.resting.commit,
                    limits=self._limits,
                    changed=self._on_change,
                )
                entry.running.start()

    def _on_change(self, download: Download) -> None:
        with self._lock:
            entry = self._entries.get(download.repo_id)
            if self._closed or entry is None or entry.running is not download:
                return
            self._keep(download.repo_id, entry)
        if download.status().state in OVER:
            self._fill()

    def _keep(self, repo_id: str, entry: _Entry) -> None:
        status = entry.status()
        if status.state in ("done", "cancelled"):
            self._records.remove(repo_id)
            return
        record: Record = record_of(status, entry.added_s)
        try:
            self._records.write(record)
        except OSError as error:
            if entry.running is None:
                said = f"The list of downloads cannot be written ({error.strerror}), so free some disk space."
                raise StorageError(said, details=repr(error)) from error
            # The download itself goes on: its bytes are in the cache and will be found again.
            logger.warning("The record of %s cannot be written: %s", repo_id, error)
