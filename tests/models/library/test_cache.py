"""What is installed: disk use with what is shared counted once, deleting, moving, and what other tools put there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from mlx_spec.errors import ModelNotFoundError, StorageError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.cache import (
    cached_folder,
    find_installed,
    installed_models,
    move_cache,
    remove,
    total_bytes,
    verify,
)
from tests.hub.contents import HubModel, folder_model, hub_file
from tests.hub.fetching import access_to, fetch
from tests.hub.loopback import LoopbackHub, serving

REPO = "org/model"


@pytest.fixture
def hub(folder: Path) -> Iterator[LoopbackHub]:
    """A Hub with a model that loads."""
    with serving({REPO: folder_model(folder)}) as served:
        yield served


@pytest.fixture
def access(hub: LoopbackHub, tmp_path: Path) -> HubAccess:
    return access_to(hub, tmp_path / "cache")


def disk_bytes(folder: Path) -> int:
    """What a folder's files really take, as `du` counts them: links are nothing."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def test_a_model_of_another_tool_is_adopted(hub: LoopbackHub, access: HubAccess) -> None:
    snapshot_download(REPO, cache_dir=access.cache_folder, endpoint=hub.endpoint)
    [model] = installed_models(access)
    assert (model.name, model.usable, model.source) == (REPO, True, "hub")
    assert cached_folder(REPO, access) == ModelFolder(Path(model.folder), REPO.partition("/")[2])
    assert verify(REPO, access).wrong == ()


def test_half_a_model_of_another_tool_is_told_apart(hub: LoopbackHub, access: HubAccess) -> None:
    snapshot_download(REPO, cache_dir=access.cache_folder, endpoint=hub.endpoint, allow_patterns=["*.json"])
    [model] = installed_models(access)
    assert not model.usable
    assert "no weights" in (model.problem or "")
    assert cached_folder(REPO, access) is None
    assert fetch(REPO, access).state == "done"
    assert installed_models(access)[0].usable


def test_two_revisions_share_their_blobs_and_count_once(hub: LoopbackHub, access: HubAccess) -> None:
    fetch(REPO, access)
    before = total_bytes(access)
    old = hub.models[REPO]
    hub.models[REPO] = replace(old, files=old.files | {"extra.json": hub_file(b"{}")})
    hub.sent_bytes = 0
    assert fetch(REPO, access).state == "done"
    assert hub.sent_bytes == 2
    assert total_bytes(access) == before + 2
    assert len(list((access.repo_folder(REPO) / "snapshots").iterdir())) == 2
    freed = remove(REPO, access).freed_bytes
    assert freed == before + 2
    assert disk_bytes(access.cache_folder / "models--org--model") == 0


def test_deleting_frees_what_it_says_and_nothing_else(hub: LoopbackHub, access: HubAccess) -> None:
    hub.models["org/other"] = HubModel(hub.models[REPO].files | {"more.json": hub_file(b"[1]")})
    fetch(REPO, access)
    fetch("org/other", access)
    before = disk_bytes(access.cache_folder)
    planned = remove(REPO, access, dry_run=True)
    assert disk_bytes(access.cache_folder) == before
    assert remove(REPO, access) == planned
    assert before - disk_bytes(access.cache_folder) == pytest.approx(planned.freed_bytes, abs=200)  # and refs, listings
    assert verify("org/other", access).wrong == ()


def test_a_name_that_is_not_here_names_the_near_ones(access: HubAccess) -> None:
    fetch(REPO, access)
    with pytest.raises(ModelNotFoundError, match=r"is it org/model\?"):
        find_installed("org/modle", access)


def test_a_cache_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert installed_models(HubAccess("http://127.0.0.1:9", None, tmp_path / "none")) == []


class TestMoving:
    def test_it_keeps_every_byte_and_other_tools_find_it(self, access: HubAccess, tmp_path: Path) -> None:
        fetch(REPO, access)
        new = tmp_path / "disk" / "hub"
        size = disk_bytes(access.cache_folder)
        assert move_cache(access, new) == size
        assert disk_bytes(new) == size
        assert verify(REPO, access).wrong == ()
        asking = f"import huggingface_hub as h; print(h.snapshot_download({REPO!r}, local_files_only=True))"
        environment = os.environ | {"HF_HUB_CACHE": str(access.cache_folder)}
        subprocess.run([sys.executable, "-c", asking], env=environment, check=True, capture_output=True)

    @pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="wants a second disk")
    def test_it_moves_to_another_disk(self, access: HubAccess, tmp_path_factory: pytest.TempPathFactory) -> None:
        fetch(REPO, access)
        new = Path("/dev/shm") / f"lookahead-{os.getpid()}"
        try:
            move_cache(access, new)
            assert verify(REPO, access).wrong == ()
            assert access.cache_folder.resolve() == new
            assert not access.cache_folder.with_name("cache.moved").exists()
        finally:
            subprocess.run(["rm", "-rf", str(new)], check=True)

    def test_a_folder_in_use_is_refused_and_nothing_moves(self, access: HubAccess, tmp_path: Path) -> None:
        fetch(REPO, access)
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "file").touch()
        for bad in (tmp_path / "full", access.cache_folder, access.cache_folder / "inside"):
            with pytest.raises(StorageError, match="cannot take the cache"):
                move_cache(access, bad)
        assert verify(REPO, access).wrong == ()

    def test_a_disk_that_is_not_connected_is_told(self, access: HubAccess, tmp_path: Path) -> None:
        fetch(REPO, access)
        move_cache(access, tmp_path / "disk")
        (tmp_path / "disk").rename(tmp_path / "unplugged")
        with pytest.raises(StorageError, match="connect that disk"):
            installed_models(access)
