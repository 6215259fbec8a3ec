"""Downloads that are not over, one small file each, so that they survive whatever ends the process."""

import json
import logging
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from mlx_spec.errors import DownloadFailure
from mlx_spec.models.library.fetching.status import DownloadStatus

_KEPT: Final = ("repo_id", "state", "total_bytes", "done_bytes", "files_total", "commit", "kind", "message", "page")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a download. `state` is "queued" for one that is to go on by itself, else "paused" or "failed".

    `added_s` is when it was asked for, in seconds since 1970: the order of the queue. `etags` are the files that it
    wants, as far as they are known: what else lies beside them is not its own to remove.
    """

    repo_id: str
    state: str
    added_s: float
    total_bytes: int | None = None
    done_bytes: int = 0
    files_total: int = 0
    commit: str | None = None
    kind: DownloadFailure | None = None
    message: str | None = None
    page: str | None = None
    etags: tuple[str, ...] = ()

    def status(self) -> DownloadStatus:
        """The record as a status to start from."""
        state = self.state if self.state in ("paused", "failed") else "queued"
        return DownloadStatus(**{name: getattr(self, name) for name in _KEPT} | {"state": state})


def record_of(status: DownloadStatus, added_s: float, etags: Iterable[str]) -> Record:
    """What to keep of a download that is not over."""
    state = status.state if status.state in ("paused", "failed") else "queued"
    return Record(
        **{name: getattr(status, name) for name in _KEPT} | {"state": state},
        added_s=added_s,
        etags=tuple(sorted(etags)),
    )


_FIELDS: Final = frozenset(field.name for field in fields(Record))


class Records:
    """The records in `folder`, a file a model: two processes that fetch different models never meet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> list[Record]:
        """All records, the oldest first. One that is damaged is dropped: what had arrived is still in the cache."""
        found = [self._read(path) for path in self._folder.glob("*.json")]
        return sorted((record for record in found if record is not None), key=lambda record: record.added_s)

    def write(self, record: Record) -> None:
        """Keep a record, whole or not at all. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = asdict(record)
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".new")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(kept, stream)
        os.replace(name, self._path(record.repo_id))

    def remove(self, repo_id: str) -> None:
        """Forget a download."""
        self._path(repo_id).unlink(missing_ok=True)

    def _path(self, repo_id: str) -> Path:
        return self._folder / f"{repo_id.replace('/', '--')}.json"

    def _read(self, path: Path) -> Record | None:
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            # Another version of Lookahead may keep more, or less: the download goes on all the same.
            record = Record(**{name: value for name, value in kept.items() if name in _FIELDS})
            float(record.added_s)
            if not all(isinstance(etag, str) and etag.isalnum() for etag in record.etags):
                raise ValueError("an etag is no name of a file")
        except (OSError, ValueError, TypeError, AttributeError):
            logger.warning("%s is damaged and was dropped.", path)
            path.unlink(missing_ok=True)
            return None
        return record
