"""Fetching from a loopback Hub in tests: short waits, a cache of one's own, and what a good cache entry is."""

import time
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import scan_cache_dir

from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.checksum import file_matches
from mlx_spec.models.library.fetching.download import Download, Limits
from mlx_spec.models.library.fetching.status import DownloadStatus
from mlx_spec.models.library.remote import is_taken
from tests.hub.contents import HubModel
from tests.hub.loopback import LoopbackHub

HASTY = Limits(tries=4, first_wait_s=0.02, longest_wait_s=0.1, read_timeout_s=0.5, reserve_bytes=0)


def access_to(hub: LoopbackHub, cache: Path, token: str | None = None) -> HubAccess:
    """The loopback Hub, with a cache folder of one's own."""
    return HubAccess(hub.endpoint, token, cache)


def fetch(repo_id: str, access: HubAccess, limits: Limits = HASTY) -> DownloadStatus:
    """Fetch a model and say how that ended."""
    download = Download(repo_id, access, limits=limits)
    download.start()
    assert download.join(250), download.status()
    return download.status()


def check_cache(repo_id: str, model: HubModel, cache: Path) -> None:
    """Assert that huggingface_hub finds a whole model in the cache, and that every byte of it is right."""
    info = scan_cache_dir(cache)
    assert not info.warnings
    [repo] = [repo for repo in info.repos if repo.repo_id == repo_id]
    [revision] = repo.revisions
    assert revision.refs == {"main"}
    assert revision.commit_hash == model.commit
    wanted = {name for name in model.files if is_taken(name)}
    assert {str(file.file_path.relative_to(revision.snapshot_path)) for file in revision.files} == wanted
    for file in revision.files:
        assert file_matches(file.blob_path, file.blob_path.name), file.file_name
    blobs = repo.repo_path / "blobs"
    assert {path.name for path in blobs.iterdir()} == {model.files[name].etag for name in wanted}


def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait until `condition` is true. Fails when it does not come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
