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
from mlx_spec.models.hub_names import split_revision
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

    def named(self) -> dict[str, Path | None]:
        """The names of what is here, each with the folder of its snapshot, and None where that is gone.

        The model's own name means the commit that `main` names. Where that never came, or another tool has fetched a
        commit and named none, it means the newest that no other name stands for.
        """
        snapshots = {path.name: path for path in self.snapshots()}
        refs = {ref: snapshots[commit] for ref, commit in self._refs().items() if commit in snapshots}
        own = refs.pop("main", None)
        if own is None:
            own = next((path for path in snapshots.values() if path not in refs.values()), None)
        others = {f"{self.repo_id}@{ref}": path for ref, path in sorted(refs.items())}
        return ({self.repo_id: own} if own is not None or not others else {}) | others

    def snapshot(self, revision: str | None) -> Path | None:
        """The folder of the model's own name, or at a revision of it; None where that is not here."""
        return self.named().get(self.repo_id if revision is None else f"{self.repo_id}@{revision}")

    def _refs(self) -> dict[str, str]:
        """Which commits the branches, tags and commits that were asked for are."""
        top, found = self.folder / "refs", {}
        for path in sorted(top.rglob("*")):
            try:
                if path.is_file():
                    found[path.relative_to(top).as_posix()] = path.read_text(encoding="utf-8").strip()
            except (OSError, ValueError):
                continue  # a damaged one names nothing
        return found

    def places(self) -> list[Path]:
        """Every file whose bytes lie here, begun ones too; links are none of them."""
        tops = (self.folder / "blobs", self.folder / "snapshots")
        places = [Path(top) / name for one in tops for top, _, names in os.walk(one) for name in names]
        return [path for path in places if not path.is_symlink()]

    def stored(self, name: str) -> list[os.stat_result]:
        """The files that `name` takes: where it is the only name, whatever lies here; else those that its snapshots
        lead to, also what they share with others."""
        if len(self.named()) > 1:
            paths = {path for snapshot in self._own(name) for path in files_of(snapshot).values() if path.is_file()}
        else:
            paths = set(self.places())
        return [path.stat() for path in paths]

    def freed_by(self, name: str) -> int:
        """The bytes that deleting `name` would free."""
        if len(self.named()) < 2:
            return sum(file.st_size for file in self.stored(name))
        return sum(path.stat().st_size for path in self._only_of(name))

    def delete(self, name: str) -> int:
        """Remove what `name` stands for, and older commits that have no name of their own with the model's; the bytes
        that are free then. What other names stand for stays. Raises OSError."""
        freed, alone, snapshots, named = self.freed_by(name), self._only_of(name), self._own(name), self.named()
        if len(named) < 2:
            self._delete_all()
            return freed
        others = [path for other, path in named.items() if other != name]
        (self.folder / "refs" / (split_revision(name)[1] or "main")).unlink(missing_ok=True)
        for snapshot in snapshots:
            if snapshot not in others:
                shutil.rmtree(snapshot)
        for path in alone:
            path.unlink(missing_ok=True)
        return freed

    def _own(self, name: str) -> list[Path]:
        """The snapshots that `name` stands for; the model's own name also for those that have none."""
        named = self.named()
        others = [path for other, path in named.items() if other != name]
        nameless = [path for path in self.snapshots() if path not in others] if name == self.repo_id else []
        return list(dict.fromkeys(path for path in (named[name], *nameless) if path is not None))

    def _only_of(self, name: str) -> list[Path]:
        """The files whose bytes are here for `name` alone."""
        others = {path for other in self.named() if other != name for path in self._own(other)}
        wanted = {path for one in self._own(name) if one not in others for path in files_of(one).values()}
        return [path for path in wanted - {path for one in others for path in files_of(one).values()} if path.is_file()]

    def _delete_all(self) -> None:
        if self.folder.is_symlink():
            target = self.folder.resolve()
            if target.is_dir():
                shutil.rmtree(target)
            self.folder.unlink()
        else:
            shutil.rmtree(self.folder)


def cache_entry(repo_id: str, access: HubAccess) -> CacheEntry | None:
    """The entry of a model, at whatever revision its name says; None where it has none. Raises StorageError."""
    with reading_cache(access):
        entry = CacheEntry(split_revision(repo_id)[0], access.repo_folder(repo_id))
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


def files_of(snapshot: Path) -> dict[str, Path]:
    """The names of a snapshot's files, and where each leads: perhaps nowhere."""
    places = [Path(top) / name for top, _, names in os.walk(snapshot) for name in names]
    return {str(path.relative_to(snapshot)): path.resolve() for path in places}


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
