"""The entries of the standard Hub cache as they lie on the disk.

huggingface_hub's own scan leaves out an entry with anything wrong in it: a link to a file that is gone, a name of a
commit that never came. Whoever keeps house wants to see just those.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlx_spec.errors import StorageError
from mlx_spec.models.library.access import HubAccess

_PREFIX: Final = "models--"


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A model's folder in the cache, with at least one snapshot; all of it may be damaged."""

    repo_id: str
    folder: Path

    def snapshots(self) -> list[Path]:
        """The folders of all its commits, the newest first."""
        found = [path for path in (self.folder / "snapshots").glob("*") if path.is_dir()]
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)

    def snapshot(self) -> Path | None:
        """What is meant by the model's name: the commit that `main` names, else the newest that is here."""
        snapshots = self.snapshots()
        try:
            commit = (self.folder / "refs" / "main").read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            commit = ""
        named = [path for path in snapshots if path.name == commit]
        return next(iter(named or snapshots), None)

    def stored(self) -> list[os.stat_result]:
        """The files whose bytes lie here, begun ones too; links are none of them."""
        tops = (self.folder / "blobs", self.folder / "snapshots")
        places = [Path(top) / name for one in tops for top, _, names in os.walk(one) for name in names]
        return [path.stat() for path in places if not path.is_symlink()]

    def files(self) -> dict[str, Path]:
        """The names that its snapshots have for their files, and where each leads: perhaps nowhere."""
        found: dict[str, Path] = {}
        for snapshot in self.snapshots():
            for top, _, names in os.walk(snapshot):
                for path in (Path(top) / name for name in names):
                    found.setdefault(f"{path.relative_to(snapshot)}", path.resolve())
        return found

    def delete(self) -> None:
        """Remove all of it. Raises OSError."""
        if self.folder.is_symlink():
            target = self.folder.resolve()
            if target.is_dir():
                shutil.rmtree(target)
            self.folder.unlink()
        else:
            shutil.rmtree(self.folder)


def cache_entry(repo_id: str, access: HubAccess) -> CacheEntry | None:
    """The entry of a model, None where it has none. Raises StorageError where the cache cannot be reached."""
    with reading_cache(access):
        entry = CacheEntry(repo_id, access.repo_folder(repo_id))
        return entry if _is_one(entry.folder) else None


def cache_entries(access: HubAccess) -> list[CacheEntry]:
    """All models of the cache. Raises StorageError where it cannot be reached."""
    with reading_cache(access):
        if not access.cache_folder.is_dir():
            return []
        names = [path.name for path in access.cache_folder.iterdir() if path.name.startswith(_PREFIX)]
        found = [(name, access.cache_folder / name) for name in sorted(names)]
        return [
            CacheEntry(name.removeprefix(_PREFIX).replace("--", "/"), path) for name, path in found if _is_one(path)
        ]


@contextmanager
def reading_cache(access: HubAccess) -> Iterator[None]:
    """Raise StorageError, in a sentence, for a cache whose disk is gone, and for what the file system says inside."""
    check_disk_is_there(access.cache_folder)
    try:
        yield
    except OSError as error:
        said = f"The cache {access.cache_folder} cannot be read ({(error.strerror or str(error)).lower()})."
        raise StorageError(said, details=repr(error)) from error


def check_disk_is_there(folder: Path) -> None:
    """Raise StorageError where `folder`, or one above it, is a link to what is not there. Nothing may be made in its
    place: the disk comes back."""
    for path in (folder, *folder.parents):
        if path.is_symlink() and not path.exists():
            raise StorageError(f"The cache lies in {path.readlink()}, which is not there: connect that disk.")


def _is_one(folder: Path) -> bool:
    """What has only begun to arrive has no snapshot yet. A link to what is gone is an entry: it can be removed."""
    if folder.is_symlink() and not folder.exists():
        return True
    return any(path.is_dir() for path in (folder / "snapshots").glob("*"))
