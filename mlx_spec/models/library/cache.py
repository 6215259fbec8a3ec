"""What is installed: the models of the standard Hub cache and the imported ones, as a person keeps house with them."""

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mlx_spec.errors import ModelError, ModelNotFoundError, StorageError
from mlx_spec.machine.resources import data_folder
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.hub_names import nearest, short_name, split_revision
from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.checksum import file_matches
from mlx_spec.models.library.entries import CacheEntry, cache_entries, cache_entry, files_of, reading_cache
from mlx_spec.models.library.remote import is_taken
from mlx_spec.models.staging import human_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
    """A model on this machine. `name` is what `--target` takes; `size_bytes` counts what several revisions share once.

    `usable` is False where something is missing, and `problem` says what. Times are seconds since 1970.
    """

    name: str
    folder: str
    source: Literal["hub", "imported"]
    size_bytes: int
    last_used_s: float
    commit: str | None = None
    usable: bool = True
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Removal:
    """What deleting a model freed, or would."""

    name: str
    freed_bytes: int


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a model's files hold the bytes that their names in the cache promise; `wrong` lists those that do not."""

    name: str
    checked: int
    wrong: tuple[str, ...]


def installed_models(access: HubAccess) -> list[InstalledModel]:
    """All models on this machine, whichever tool fetched them, by name. Models only, no data sets."""
    with reading_cache(access):
        found = [_hub_model(entry, name) for entry in cache_entries(access) for name in entry.named()]
    return sorted([*found, *_imported_models()], key=lambda model: model.name.lower())


def find_installed(name: str, access: HubAccess) -> InstalledModel:
    """The installed model called `name`. Raises ModelNotFoundError naming those that come near."""
    models = {model.name: model for model in installed_models(access)}
    if name not in models:
        near = nearest(name, models)
        hint = f"; is it {' or '.join(near)}?" if near else ": `mlx-spec models list` shows what is."
        raise ModelNotFoundError(f"No model called {name} is installed{hint}")
    return models[name]


def cached_folder(repo_id: str, access: HubAccess) -> ModelFolder | None:
    """The folder of a Hub model that is here whole, None where it is not. Asks no network.

    Weights are whole where their heads say so; what else of it is used is compared with its checksum, and what other
    tools have put beside it, weights of theirs perhaps, is not read. Raises StorageError.
    """
    entry = cache_entry(repo_id, access)
    snapshot = entry.snapshot(split_revision(repo_id)[1]) if entry is not None else None
    if snapshot is None:
        return None
    folder = ModelFolder(snapshot, short_name(repo_id))
    if _problem(folder) is not None:
        return None
    with reading_cache(access):
        taken = {name: path for name, path in files_of(snapshot).items() if is_taken(name) and path.is_file()}
        small = [path for name, path in taken.items() if not name.endswith(".safetensors")]
        return folder if all(_is_right(path) for path in small) else None


def problem_of(repo_id: str, access: HubAccess) -> str | None:
    """What is wrong with what is here of a Hub model; None where it is whole or absent. Raises StorageError."""
    entry = cache_entry(repo_id, access)
    return _hub_model(entry, repo_id).problem if entry is not None and repo_id in entry.named() else None


def total_bytes(access: HubAccess) -> int:
    """What all installed models take on the disk; what several revisions share counts once."""
    with reading_cache(access):
        paths = [path for entry in cache_entries(access) for path in entry.places()]
        stored = sum(path.stat().st_size for path in paths)
    return stored + sum(model.size_bytes for model in _imported_models())


def remove(name: str, access: HubAccess, *, dry_run: bool = False) -> Removal:
    """Delete a model with all its revisions, or the one that its name says; or only tell what that would free.

    What other models and revisions share stays. Raises ModelNotFoundError, StorageError.
    """
    model = find_installed(name, access)
    try:
        if model.source == "imported":
            if not dry_run:
                shutil.rmtree(model.folder)
            return Removal(name, model.size_bytes)
        entry = cache_entry(name, access)
        if entry is None:
            return Removal(name, 0)
        return Removal(name, entry.freed_by(name) if dry_run else entry.delete(name))
    except OSError as error:
        said = f"{name} cannot be removed from {model.folder} ({(error.strerror or str(error)).lower()})."
        raise StorageError(said, details=repr(error)) from error


def verify(name: str, access: HubAccess) -> Verification:
    """Read every file of a Hub model and compare it with its checksum: the name of its blob. Asks no network.

    Raises ModelNotFoundError, and ModelError for an imported model, which has no checksums.
    """
    model = find_installed(name, access)
    if model.source == "imported":
        raise ModelError(f"{name} was imported from a file, so there are no checksums of the Hub to compare with.")
    entry = cache_entry(name, access)
    with reading_cache(access):
        meant = [] if entry is None else entry.snapshots() if name == entry.repo_id else [entry.named()[name]]
        # A file that several names lead to is read once.
        shown = {path: shown for folder in meant if folder for shown, path in files_of(folder).items()}
        wrong = [shown for path, shown in shown.items() if not path.is_file() or not _is_right(path)]
    return Verification(name, len(shown), tuple(sorted(wrong)))


def move_cache(access: HubAccess, new: Path) -> int:
    """Move the cache folder to `new`, perhaps on another disk, and return its bytes. A link stays in the old place, so
    that every other tool still finds it.

    Raises StorageError: then everything is where it was.
    """
    old = access.cache_folder
    if old.is_symlink():
        raise StorageError(f"{old} was moved before, to {old.resolve()}: remove that link to move it again.")
    new = new.expanduser().absolute()
    if new == old or old in new.parents or (new.exists() and any(new.iterdir())):
        raise StorageError(f"{new} cannot take the cache: name an empty folder, or a new one, outside {old}.")
    old.mkdir(parents=True, exist_ok=True)
    size = sum(path.stat().st_size for path in old.rglob("*") if path.is_file() and not path.is_symlink())
    try:
        _move(old, new, size)
    except OSError as error:
        said = f"The cache cannot be moved to {new} ({(error.strerror or str(error)).lower()}); it stays in {old}."
        raise StorageError(said, details=repr(error)) from error
    return size


def _move(old: Path, new: Path, size: int) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    same_disk = os.stat(old).st_dev == os.stat(new.parent).st_dev
    free = shutil.disk_usage(new.parent).free
    if not same_disk and free < size:
        raise StorageError(f"{new} has {human_bytes(free)} free, and the cache needs {human_bytes(size)}.")
    if new.exists():
        new.rmdir()
    aside = old.with_name(f"{old.name}.moved")
    if same_disk:
        old.rename(new)
    else:
        try:
            shutil.copytree(old, new, symlinks=True)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        old.rename(aside)
    try:
        old.symlink_to(new, target_is_directory=True)
    except OSError:
        (new if same_disk else aside).rename(old)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _hub_model(entry: CacheEntry, name: str) -> InstalledModel:
    folder = entry.named()[name]
    files = entry.stored(name)
    problem = (
        _problem(ModelFolder.at(folder))
        if folder is not None
        else f"{entry.folder} is a link to a folder that is gone."
    )
    return InstalledModel(
        name=name,
        folder=str(folder or entry.folder),
        source="hub",
        size_bytes=sum(file.st_size for file in files),
        last_used_s=max((file.st_atime for file in files), default=0.0),
        commit=folder.name if folder is not None else None,
        usable=problem is None,
        problem=problem,
    )


def _imported_models() -> list[InstalledModel]:
    folders = sorted(path.parent for path in (data_folder() / "models").glob("*/config.json"))
    return [_imported(folder) for folder in folders]


def _imported(folder: Path) -> InstalledModel:
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    problem = _problem(ModelFolder.at(folder))
    return InstalledModel(
        name=folder.name,
        folder=str(folder),
        source="imported",
        size_bytes=sum(file.st_size for file in files),
        last_used_s=max(file.st_atime for file in files),
        usable=problem is None,
        problem=problem,
    )


def _problem(folder: ModelFolder) -> str | None:
    """What is wrong with a model's folder, None where it can be loaded."""
    try:
        folder.check(wants_tokenizer=folder.has_tokenizer or folder.head_kind is None)
    except ModelError as error:
        return str(error)
    return None


def _is_right(blob: Path) -> bool:
    """Blobs are named by their sha256 or git-sha1; what has another name came from a mirror with etags of its own."""
    if len(blob.name) not in (40, 64):
        return True
    return file_matches(blob, blob.name)
