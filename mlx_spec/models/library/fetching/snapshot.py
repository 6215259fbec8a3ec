"""A model whose files are all here, as a snapshot of the standard Hub cache: other tools find it, too."""

import glob
import os
import tempfile
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.utils.tqdm import tqdm

from mlx_spec.models.hub_names import split_revision
from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.remote import RemoteModel


class _Silent(tqdm):
    """Nothing is left to fetch, so there is no progress to show."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options | {"disable": True})  # type: ignore[no-untyped-call]


def link_snapshot(model: RemoteModel, access: HubAccess) -> Path:
    """Make the links to the blobs, and let `main`, or the revision of the model's name, name this commit.

    Returns the snapshot's folder.
    huggingface_hub makes them, so that the entry is one that its own tools scan, verify and delete.
    """
    listing = access.repo_folder(model.repo_id) / "trees" / f"{model.commit}.json"
    had_listing = listing.exists()
    repo_id, named = split_revision(model.repo_id)
    folder = snapshot_download(
        repo_id,
        revision=model.commit,
        cache_dir=access.cache_folder,
        endpoint=access.endpoint,
        token=access.token or False,
        # Names, not patterns: a bracket in a name means itself.
        allow_patterns=[glob.escape(file.path) for file in model.files],
        library_name="lookahead",
        tqdm_class=_Silent,
    )
    if not had_listing:
        # With it, tools that also ask for files we never take would find the entry incomplete without a network.
        listing.unlink(missing_ok=True)
    _set_ref(access.repo_folder(model.repo_id) / "refs" / (named or "main"), model.commit)
    return Path(folder)


def _set_ref(path: Path, commit: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w") as stream:
        stream.write(commit)
    # mkstemp's files are for their owner only; the cache may be shared.
    os.chmod(name, 0o644)
    os.replace(name, path)
