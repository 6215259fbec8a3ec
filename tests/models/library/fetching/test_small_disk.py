"""A disk that is really full: a file system of a few megabytes, in memory."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlx_spec.errors import StorageError
from mlx_spec.models.gguf.importing import import_gguf
from mlx_spec.models.library.fetching.status import DownloadStatus
from tests.hub.contents import heavy_model
from tests.hub.fetching import access_to, check_cache, fetch, until
from tests.hub.loopback import serving
from tests.models.gguf.tiny import tiny_gguf

REPO = "org/heavy"
SIZE = 8_000_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of `SIZE` bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small file system cannot be mounted here: that takes Linux and root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write until nothing goes in any more."""
    with path.open("wb") as file:
        while True:
            file.write(bytes(100_000))
            file.flush()


def test_what_is_larger_than_the_disk_is_not_begun(small_disk: Path) -> None:
    model = heavy_model(2 * SIZE)
    with serving({REPO: model}) as hub:
        status = fetch(REPO, access_to(hub, small_disk))
        assert (status.state, status.kind) == ("failed", "disk_full")
        assert hub.sent_bytes == 0
    assert sum(path.stat().st_size for path in small_disk.rglob("*") if path.is_file()) < 100_000


def test_a_disk_that_fills_up_on_the_way_loses_nothing(small_disk: Path) -> None:
    model = heavy_model(5_000_000)
    ended: list[DownloadStatus] = []
    with serving({REPO: model}) as hub:
        hub.bytes_per_second = 4e6
        access = access_to(hub, small_disk)
        downloading = threading.Thread(target=lambda: ended.append(fetch(REPO, access)))
        downloading.start()
        until(lambda: hub.sent_bytes > 1_500_000)
        other = small_disk / "another program's"
        with pytest.raises(OSError, match="No space left"):
            fill(other)
        downloading.join(30)
        assert (ended[0].state, ended[0].kind) == ("failed", "disk_full")
        assert "nothing is lost" in (ended[0].message or "")
        other.unlink()
        hub.bytes_per_second = None
        assert fetch(REPO, access).state == "done"
        assert hub.sent_bytes <= 1.2 * model.total_bytes
    check_cache(REPO, model, small_disk)


def test_an_import_that_fills_it_is_one_sentence_and_leaves_nothing(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the space that was asked for is gone before it is needed."""
    path = tiny_gguf("F32").write(tmp_path / "x.gguf")
    monkeypatch.setattr("mlx_spec.models.staging.check_free_space", lambda *_: None)
    (small_disk / "another").write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))
    with pytest.raises(StorageError, match="cannot be written"):
        import_gguf(path, small_disk / "models" / "x", source="test")
    assert list((small_disk / "models").iterdir()) == []
