"""All downloads of this process: a queue that survives it. The window, the terminal and the server share this one."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from uuid import uuid4

from mlx_spec.errors import DownloadError, StorageError
from mlx_spec.models.hub_names import repo_id_of, split_revision
from mlx_spec.models.library.access import HubAccess, hub_access
from mlx_spec.models.library.fetching.blob import begun_etags, remove_parts
from mlx_spec.models.library.fetching.changes import Changes
from mlx_spec.models.library.fetching.download import Download, Limits
from mlx_spec.models.library.fetching.records import Record, Records, record_of
from mlx_spec.models.library.fetching.status import OVER, DownloadList, DownloadState, DownloadStatus

_CLOSE_S: Final = 0.5

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Entry:
    """A download in the list: its running part, where it has one, and otherwise how it stands."""

    added_s: float
    resting: DownloadStatus
    running: Download | None = None
    known_etags: frozenset[str] = frozenset()

    @property
    def repo_id(self) -> str:
        return self.resting.repo_id

    def status(self) -> DownloadStatus:
        return self.running.status() if self.running is not None else self.resting

    def etags(self) -> frozenset[str]:
        """The files that it wants, as far as they are known."""
        return self.running.etags if self.running is not None else self.known_etags

    def rest(self, state: DownloadState, revision: int) -> None:
        """Run no longer. What went wrong is forgotten; what had arrived is told still."""
        status = self.status()
        self.resting = DownloadStatus(
            repo_id=status.repo_id,
            revision=revision,
            state=state,
            total_bytes=status.total_bytes,
            done_bytes=status.done_bytes,
            files_total=status.files_total,
            files_done=status.files_done,
            commit=status.commit,
        )
        self.known_etags = self.etags()
        self.running = None


class Downloads:
    """Fetches models one after the other, each with several files at once. All methods are for any thread.

    `folder` keeps the records (`LOOKAHEAD_HOME/downloads`). `access` is asked anew for each start: a token or a mirror
    that was set meanwhile counts. `changes` wakes whoever follows the queue, and gives it an order; `run`
    is a word for this queue of this process, as each counts its changes from 1.
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
        self._closed = False
        self.run = uuid4().hex
        self.changes = Changes()

    def restore(self) -> None:
        """Take up what an earlier process left: paused ones stay paused, all others go on."""
        records = self._records.read()
        with self.changes.making() as number:
            for record in records:
                status = replace(record.status(), revision=number)
                entry = _Entry(record.added_s, status, known_etags=self._etags_of(record))
                self._entries.setdefault(record.repo_id, entry)
        self._fill()

    def add(self, name: str) -> DownloadStatus:
        """Queue a model by `owner/name` or its address; one that is paused or failed goes on.

        Raises ModelNotFoundError for what is no name, StorageError where the record cannot be kept.
        """
        repo_id = repo_id_of(name)
        with self.changes.making() as number:
            entry = self._entries.get(repo_id)
            if entry is None or entry.status().state in ("done", "cancelled"):
                entry = self._entries[repo_id] = _Entry(time.time(), DownloadStatus(repo_id=repo_id, revision=number))
            elif entry.status().state in OVER:
                entry.rest("queued", number)
            self._keep(repo_id, entry)
        self._fill()
        return self.status(repo_id)

    resume = add

    def pause(self, repo_id: str) -> DownloadStatus:
        """Stop a download and keep what has arrived. Raises DownloadError where there is none."""
        entry = self._entry(repo_id)
        with self.changes.making() as number:
            if entry.running is None and entry.resting.state == "queued":
                entry.rest("paused", number)
                self._keep(repo_id, entry)
        if entry.running is not None:
            entry.running.pause()
        return self.status(repo_id)

    def cancel(self, repo_id: str) -> DownloadStatus:
        """Stop a download and remove what has arrived of its unfinished files. Raises DownloadError."""
        entry = self._entry(repo_id)
        if entry.running is not None:
            entry.running.cancel()
        with self.changes.making() as number:
            if entry.status().state in ("queued", "paused", "failed"):
                begun = entry.etags() if entry.running is None else frozenset()  # else it has removed them, or will
                entry.rest("cancelled", number)
                remove_parts(repo_id, self._access(), begun, lambda etag: self._is_wanted(entry, etag))
                self._records.remove(repo_id)
        return self.status(repo_id)

    def forget(self, repo_id: str) -> None:
        """Take one that is over, and not paused, off the list. Raises DownloadError where there is none."""
        entry = self._entry(repo_id)
        with self.changes.making():
            if entry.status().state in ("done", "failed", "cancelled"):
                self._entries.pop(repo_id, None)
                self._records.remove(repo_id)

    def status(self, repo_id: str) -> DownloadStatus:
        """How a download stands. Raises DownloadError where there is none."""
        return self._entry(repo_id).status()

    def listing(self) -> DownloadList:
        """All downloads, those over since the start included, with the number of the moment."""
        with self.changes.reading() as number:
            entries = sorted(self._entries.values(), key=lambda entry: entry.added_s)
            return DownloadList(self.run, number, tuple(entry.status() for entry in entries))

    def statuses(self) -> list[DownloadStatus]:
        """All downloads in the order they were asked for, those over since the start included."""
        return list(self.listing().downloads)

    def wait(self, repo_id: str, timeout_s: float | None = None) -> DownloadStatus:
        """Wait until a download is over or paused, and return how it stands then. Raises DownloadError."""
        self.wait_for_all([repo_id], timeout_s)
        return self.status(repo_id)

    def wait_for_all(self, repo_ids: Sequence[str], timeout_s: float | None = None) -> bool:
        """Wait until all of these are over or paused; whether they are. Raises DownloadError."""
        return self.changes.wait_for(lambda: all(self.status(one).state in OVER for one in repo_ids), timeout_s)

    def close(self) -> bool:
        """Stop everything for the process's end; what was going on goes on at the next `restore`.

        Returns whether no thread runs any more: one that waits for a connection cannot be woken.
        """
        with self.changes.making():
            self._closed = True
            running = [entry.running for entry in self._entries.values() if entry.running is not None]
        for download in running:
            download.pause()
        deadline = time.monotonic() + _CLOSE_S
        return all(download.join(max(0.0, deadline - time.monotonic())) for download in running)

    def _entry(self, repo_id: str) -> _Entry:
        with self.changes.reading():
            if repo_id not in self._entries:
                raise DownloadError(f"Nothing called {repo_id} is being downloaded.", "not_found")
            return self._entries[repo_id]

    def _etags_of(self, record: Record) -> frozenset[str]:
        """The files that a recorded download wants; all that have begun for one that an older Lookahead recorded."""
        if record.etags or not record.done_bytes:
            return frozenset(record.etags)
        return begun_etags(record.repo_id, self._access())

    def _is_wanted(self, own: Download | _Entry, etag: str) -> bool:
        """Whether another download than `own` wants a file of the same model, at whatever revision; those of other
        processes are known by their records."""
        name = split_revision(own.repo_id)[0]
        with self.changes.reading():
            entries = [entry for entry in self._entries.values() if entry is not own and entry.running is not own]
            wanted = [(one.repo_id, one.etags()) for one in entries if one.status().state not in ("done", "cancelled")]
            elsewhere = [record for record in self._records.read() if record.repo_id not in self._entries]
        wanted += [(record.repo_id, self._etags_of(record)) for record in elsewhere]
        return any(etag in etags for repo_id, etags in wanted if split_revision(repo_id)[0] == name)

    def _fill(self) -> None:
        """Start what waits, as far as there is room."""
        with self.changes.reading():
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
                    changes=self.changes,
                    changed=self._on_change,
                    etags=entry.known_etags,
                    is_wanted=self._is_wanted,
                )
                entry.running.start()

    def _on_change(self, download: Download) -> None:
        with self.changes.reading():
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
        record: Record = record_of(status, entry.added_s, entry.etags())
        try:
            self._records.write(record)
        except OSError as error:
            if entry.running is None:
                said = f"The list of downloads cannot be written ({error.strerror}), so free some disk space."
                raise StorageError(said, details=repr(error)) from error
            # The download itself goes on: its bytes are in the cache and will be found again.
            logger.warning("The record of %s cannot be written: %s", repo_id, error)
