"""What a model of the Hub consists of, and which of its files are taken: weights, JSON, tokenizer and templates."""

import fnmatch
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from huggingface_hub.hf_api import ModelInfo

from mlx_spec.errors import DownloadError
from mlx_spec.models.files.shards import INDEX, missing_shards
from mlx_spec.models.hub_names import split_revision
from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.refusal import EXPECTED, refusal

# Weights in one format only, and no Python: a model's own code is never run, so it is not even fetched.
_TAKEN: Final = ("*.json", "model*.safetensors", "tokenizer.model", "*.tiktoken", "*.txt", "*.jinja")
_SUBFOLDERS: Final = ("additional_chat_templates",)
_SHA1: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LISTING_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a model. `etag` names its bytes and its blob in the cache: a sha256, or git's sha1 for small ones."""

    path: str
    size_bytes: int
    etag: str

    @property
    def is_weights(self) -> bool:
        """Whether it holds tensors."""
        return self.path.endswith(".safetensors")


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model at one commit: the files that are taken, and what the Hub says of it.

    `gated` may need a person's consent. `config` is the part of config.json that the Hub repeats, often only
    model_type and quantisation.
    """

    repo_id: str
    commit: str
    files: tuple[RemoteFile, ...]
    licence: str | None
    gated: bool
    private: bool
    base_model: str | None
    config: dict[str, Any]

    @property
    def total_bytes(self) -> int:
        """What all files take."""
        return sum(file.size_bytes for file in self.files)

    @property
    def weights_bytes(self) -> int:
        """What the weights take, on disk and about that in memory."""
        return sum(file.size_bytes for file in self.files if file.is_weights)

    def bytes_to_fetch(self, access: HubAccess) -> int:
        """What the cache lacks: whole blobs and begun ones are subtracted, and files of the same bytes count once."""
        blobs = access.repo_folder(self.repo_id) / "blobs"
        missing = {file.etag: file.size_bytes - cached_bytes(blobs, file) for file in self.files}
        return sum(missing.values())


def cached_bytes(blobs: Path, file: RemoteFile) -> int:
    """How much of a file the cache has: all, what was begun of it, or nothing."""
    paths = [blobs / name for name in (file.etag, f"{file.etag}.part")]
    sizes = [path.stat().st_size for path in paths if path.is_file()]
    return max((size for size in sizes if size <= file.size_bytes), default=0)


def list_remote(repo_id: str, access: HubAccess, revision: str | None = None) -> RemoteModel:
    """Ask the Hub what a model consists of, at `revision`, else at that of its name.

    Raises DownloadError, also for what could not be used or trusted.
    """
    name, named = split_revision(repo_id)
    try:
        info = access.api.model_info(name, revision=revision or named, files_metadata=True, timeout=_LISTING_TIMEOUT_S)
    except (*EXPECTED, ValueError) as error:  # ValueError: an answer that is no JSON, a name that is none
        raise refusal(error, repo_id, access) from error
    # As it was asked for: the Hub may know it by a newer name, but the cache goes by this one.
    return replace(remote_of(info), repo_id=repo_id)


def remote_of(info: ModelInfo) -> RemoteModel:
    """The Hub's answer, checked. Raises DownloadError."""
    siblings = info.siblings or []
    for sibling in siblings:
        check_path(sibling.rfilename, info.id)
    files = [_file(sibling, info.id) for sibling in siblings if is_taken(sibling.rfilename)]
    if not any(file.is_weights for file in files):
        raise DownloadError(f"{info.id} has no weights in the safetensors format, so it cannot be used.", "unsupported")
    names = [file.path for file in files]
    if INDEX not in names:
        check_shards(info.id, names, None)
    card: dict[str, Any] = dict(info.card_data.__dict__) if info.card_data is not None else {}
    base = card.get("base_model")
    config = info.config if isinstance(info.config, dict) else {}
    return RemoteModel(
        repo_id=info.id,
        commit=_hash(info.sha, _SHA1, info.id),
        files=tuple(sorted(files, key=lambda file: file.path)),
        licence=_licence(card, info.tags or []),
        gated=bool(info.gated),
        private=bool(info.private),
        base_model=base[0] if isinstance(base, list) and base else base if isinstance(base, str) else None,
        config=config,
    )


def check_shards(repo_id: str, names: Collection[str], index: str | None) -> None:
    """Raise DownloadError where a model lacks weights that `index`, or their own numbers, promise: all the bytes that
    it does have could not be used."""
    try:
        missing = missing_shards(names, index)
    except ValueError as error:
        raise DownloadError(f"The index of {repo_id}'s weights cannot be read ({error}).", "unsupported") from error
    if missing:
        said = f"{repo_id} is not whole on the Hub: it lacks {missing[0]} of its weights, so it cannot be used."
        raise DownloadError(said, "unsupported")


def is_taken(path: str) -> bool:
    """Whether a file of a model is fetched."""
    folder, _, name = path.rpartition("/")
    if folder and folder not in _SUBFOLDERS:
        return False
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _TAKEN)


def check_path(path: str, repo_id: str) -> None:
    """Raise DownloadError for a file name that would lead out of the model's folder: such a listing is not trusted."""
    parts = PurePosixPath(path).parts
    hidden = any(part in ("..", ".") for part in path.split("/")) or path.startswith("/") or "\\" in path
    if not parts or hidden or any(ord(character) < 32 for character in path):
        said = f"{repo_id} lists the file {path!r}, which leads out of its folder, so nothing of it is fetched."
        raise DownloadError(said, "unsafe")


def _file(sibling: Any, repo_id: str) -> RemoteFile:
    if sibling.lfs is not None:
        return RemoteFile(sibling.rfilename, int(sibling.lfs.size), _hash(sibling.lfs.sha256, _SHA256, repo_id))
    return RemoteFile(sibling.rfilename, int(sibling.size or 0), _hash(sibling.blob_id, _SHA1, repo_id))


def _hash(value: object, form: re.Pattern[str], repo_id: str) -> str:
    """A hash is also a file name in the cache: nothing else may stand in its place."""
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise DownloadError(f"The Hub gives no checksum for a file of {repo_id}, so it is not fetched.", "unsafe")
    return value


def _licence(card: dict[str, Any], tags: list[str]) -> str | None:
    named = card.get("license_name") if card.get("license") == "other" else card.get("license")
    if isinstance(named, str):
        return named
    return next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), None)
