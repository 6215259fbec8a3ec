"""The folder behind a model's name: a pair's, a folder's own, a .gguf file's import, a model of the Hub."""

import hashlib
from pathlib import Path
from typing import Final

from mlx_spec.errors import ModelNotFoundError
from mlx_spec.machine.resources import data_folder, resources_folder
from mlx_spec.models.gguf.importing import Progress, dtype_suffix, import_gguf, is_imported
from mlx_spec.models.gguf.parts import is_gguf, model_name, part_paths
from mlx_spec.models.hub import hub_folder, looks_like_hub_id
from mlx_spec.models.library.names import is_address, repo_id_of
from mlx_spec.models.pairs import PAIRS, STARTER, find_pair
from mlx_spec.models.starter import STARTER_NAME, ensure_starter_target

NO_DRAFT: Final = "none"


def folder_of(name: str, progress: Progress | None = None) -> tuple[Path, str]:
    """Return the folder of a target, named as for `load_pair`, and a short name; fetched or imported where it must be.

    Raises as `load_pair` does for what is missing.
    """
    if name == STARTER:
        return ensure_starter_target(progress), STARTER_NAME
    return _named_folder(PAIRS[name].target if name in PAIRS else name, progress)


def draft_folder_of(target: str, draft: str | None, progress: Progress | None = None) -> tuple[Path | None, str | None]:
    """Return the folder of a draft, as `folder_of` does; None where the pair has none, or none is wanted."""
    if draft == NO_DRAFT or (draft is None and target not in PAIRS):
        return None, None
    name = draft or target
    if name == STARTER:
        folder = resources_folder() / "starter"
        if not (folder / "config.json").is_file():
            raise ModelNotFoundError(f"The starter draft is missing from {folder}; load the target with draft='none'.")
        return folder, PAIRS[STARTER].draft
    return _named_folder(PAIRS[name].draft if name in PAIRS else name, progress)


def _named_folder(name: str, progress: Progress | None) -> tuple[Path, str]:
    """Return the folder behind a path, a .gguf file or a Hub id, and a short name for it."""
    path = Path(name).expanduser()
    if is_gguf(path):
        return imported_folder(path, progress=progress), model_name(path)
    if path.is_dir():
        return path, path.resolve().name
    if is_address(name) or looks_like_hub_id(name):
        repo_id = repo_id_of(name)
        return hub_folder(repo_id, progress), repo_id.partition("/")[2]
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
