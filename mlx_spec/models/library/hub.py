"""Models of the Hugging Face Hub, as folders of its own cache."""

from pathlib import Path
from typing import Final

from mlx_spec.errors import DownloadError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.hub_names import short_name
from mlx_spec.models.library.access import hub_access
from mlx_spec.models.library.cache import cached_folder, problem_of
from mlx_spec.models.library.fetching.download import Download
from mlx_spec.models.progress import Progress

_POLL_S: Final = 0.1


def hub_folder(repo_id: str, progress: Progress | None = None) -> ModelFolder:
    """Return the folder of the Hub model `repo_id`, fetching what the cache lacks; `progress` is told of it.

    What was fetched before an interruption is not fetched again. Raises DownloadError, a ModelNotFoundError, when the
    Hub cannot be reached, has no such model, or does not give it.
    """
    access = hub_access()
    found = cached_folder(repo_id, access)
    if found is not None:
        return found
    download = Download(repo_id, access)
    download.start()
    try:
        while not download.join(_POLL_S):
            status = download.status()
            if progress is not None and status.total_bytes:
                progress("downloading", status.done_bytes / status.total_bytes)
    finally:
        download.pause()  # where this is left by an exception; without effect on a download that is over
    status = download.status()
    if status.folder is None:
        said = status.message or f"{repo_id} was not fetched."
        if problem := problem_of(repo_id, access):
            said += f" What is here of it cannot be used: {problem}"
        raise DownloadError(said, status.kind or "server", page=status.page)
    return ModelFolder(Path(status.folder), short_name(repo_id))
