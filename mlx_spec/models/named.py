"""The folders behind what a person typed: a pair's name, a folder, a .gguf file, a model of the Hub."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlx_spec.errors import ModelNotFoundError
from mlx_spec.machine.resources import data_folder, resources_folder
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.gguf.importing import dtype_suffix, import_gguf, is_imported
from mlx_spec.models.gguf.parts import is_gguf, model_name, part_paths
from mlx_spec.models.hub_names import is_address, looks_like_hub_id, repo_id_of
from mlx_spec.models.library.access import hub_access
from mlx_spec.models.library.cache import cached_folder
from mlx_spec.models.library.hub import hub_folder
from mlx_spec.models.pairs import PAIRS, STARTER, find_pair
from mlx_spec.models.progress import Progress
from mlx_spec.models.starter import STARTER_NAME, ensure_starter_target

NO_DRAFT: Final = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFolders:
    """What is loaded as a pair: a target, a draft where there is one, and the heads in the draft's folder.

    `name` is the pair's: that of a known pair, else the target's. `draft_name` is that of what drafts, which may be a
    head alone.
    """

    name: str
    target: ModelFolder
    draft: ModelFolder | None
    draft_name: str | None
    heads: tuple[ModelFolder, ...]

    @property
    def models(self) -> tuple[ModelFolder, ...]:
        """Target and draft, as far as they are there."""
        return (self.target, self.draft) if self.draft is not None else (self.target,)


def find_folders(target: str, draft: str | None, progress: Progress | None = None) -> PairFolders:
    """The folders of a target and its draft, named as for `load_pair`: fetched or imported where they must be, and
    checked.

    Raises as `load_pair` does for what is missing or damaged.
    """
    # The draft first: where it is missing, nobody waits for the target's import before being told.
    drafts = draft_folder_of(target, draft, progress)
    heads = drafts.heads if drafts is not None else ()
    answers = folder_of(target, progress)
    found = PairFolders(
        name=target if target in PAIRS and draft is None else answers.name,
        target=answers,
        draft=None if drafts in heads else drafts,  # a head is no draft model
        draft_name=drafts.name if drafts is not None else None,
        heads=heads,
    )
    for folder in found.models:
        folder.check()
    return found


def folder_of(name: str, progress: Progress | None = None) -> ModelFolder:
    """The folder of a target, named as for `load_pair`; fetched or imported where it must be.

    Raises as `load_pair` does for what is missing.
    """
    if name == STARTER:
        return ModelFolder(ensure_starter_target(progress), STARTER_NAME)
    return _named_folder(PAIRS[name].target if name in PAIRS else name, progress)


def installed_folder(name: str, progress: Progress | None = None) -> ModelFolder:
    """The same, of what is on this machine: a model of the Hub that is not whole here is not fetched for a question
    about it. Raises ModelNotFoundError, which names the command that fetches it."""
    target = PAIRS[name].target if name in PAIRS and name != STARTER else name
    path = Path(target).expanduser()
    if is_gguf(path) or path.is_dir() or not (is_address(target) or looks_like_hub_id(target)):
        return folder_of(name, progress)
    repo_id = repo_id_of(target)
    found = cached_folder(repo_id, hub_access())
    if found is None:
        raise ModelNotFoundError(f"{repo_id} is not on this machine: `mlx-spec models pull {repo_id}` fetches it.")
    return found


def draft_folder_of(target: str, draft: str | None, progress: Progress | None = None) -> ModelFolder | None:
    """The folder of a draft, as `folder_of` gives it; None where the pair has none, or none is wanted."""
    if draft == NO_DRAFT or (draft is None and target not in PAIRS):
        return None
    name = draft or target
    if name == STARTER:
        folder = resources_folder() / "starter"
        if not (folder / "config.json").is_file():
            raise ModelNotFoundError(f"The starter draft is missing from {folder}; load the target with draft='none'.")
        return ModelFolder(folder, PAIRS[STARTER].draft)
    return _named_folder(PAIRS[name].draft if name in PAIRS else name, progress)


def _named_folder(name: str, progress: Progress | None) -> ModelFolder:
    """The folder behind a path, a .gguf file or a Hub id."""
    path = Path(name).expanduser()
    if is_gguf(path):
        return ModelFolder(imported_folder(path, progress=progress), model_name(path))
    if path.is_dir():
        return ModelFolder.at(path)
    if is_address(name) or looks_like_hub_id(name):
        return hub_folder(repo_id_of(name), progress)
    if path.is_absolute() or name.startswith(("~", ".")):
        raise ModelNotFoundError(f"There is no model folder {name}.")
    find_pair(name)
    raise AssertionError("find_pair raises for every name that is not a pair")


def imported_folder(path: Path, *, bits: int | None = None, progress: Progress | None = None) -> Path:
    """Import a .gguf file, once as long as it and its other parts stay as they are; with `bits`, requantised.

    Raises as `load_pair`.
    """
    paths = part_paths(path)
    try:
        states = [file.stat() for file in paths]
    except OSError as error:
        raise ModelNotFoundError(f"{path} cannot be read.", details=repr(error)) from error
    key = "\n".join(
        f"{file.resolve()}:{state.st_size}:{state.st_mtime_ns}" for file, state in zip(paths, states, strict=True)
    )
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    form = dtype_suffix() if bits is None else f"{bits}bit"
    folder = data_folder() / "models" / f"{model_name(path)}-{digest}-{form}"
    if is_imported(folder):
        return folder
    return import_gguf(path, folder, source=str(path.resolve()), bits=bits, progress=progress)
