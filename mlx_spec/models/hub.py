"""Models of the Hugging Face Hub, as folders of its own cache."""

import re
from pathlib import Path
from typing import Final

from huggingface_hub import snapshot_download

from mlx_spec.errors import ModelNotFoundError
from mlx_spec.models.gguf import Progress

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# Weights in one format only, and no Python: a model's own code is never run.
_FILES: Final = ["*.json", "model*.safetensors", "tokenizer.model", "*.tiktoken", "*.txt", "*.jinja"]


def looks_like_hub_id(name: str) -> bool:
    """Return whether `name` has the form `org/model`."""
    return _HUB_ID.fullmatch(name) is not None


def hub_folder(repo_id: str, progress: Progress | None = None) -> Path:
    """Return the folder of the Hub model `repo_id`, fetching what the cache lacks.

    Raises ModelNotFoundError when the Hub cannot be reached, has no such model, or wants an access token.
    """
    try:
        return Path(snapshot_download(repo_id, allow_patterns=_FILES, local_files_only=True))
    except Exception:  # noqa: BLE001, S110  any failure means that the cache does not have it
        pass
    if progress is not None:
        progress("downloading", 0.0)
    try:
        return Path(snapshot_download(repo_id, allow_patterns=_FILES))
    except Exception as error:  # the library raises httpx, OS and its own errors alike
        reason = _reason(error)
        raise ModelNotFoundError(f"The model {repo_id} could not be fetched: {reason}.", details=repr(error)) from error


def _reason(error: Exception) -> str:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "GatedRepoError" in kinds:  # before RepositoryNotFoundError, its base
        return "its owner wants you to accept terms on huggingface.co and to log in first"
    if "RepositoryNotFoundError" in kinds:
        return "the Hub has no public model of that name"
    if "HfHubHTTPError" in kinds:
        return "the Hub answered with an error"
    return "the Hub cannot be reached, so check the connection or give a local folder"
