"""One model from a loopback Hub: every way in which that can go wrong, and what is left in the cache afterwards."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import pytest
from huggingface_hub import snapshot_download

from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.fetching import blob
from mlx_spec.models.library.fetching.download import Download
from mlx_spec.models.library.remote import list_remote
from tests.hub.contents import HubModel, heavy_model, hub_file
from tests.hub.faults import Fault
from tests.hub.fetching import HASTY, access_to, check_cache, fetch, until
from tests.hub.loopback import TOKEN, LoopbackHub, serving

REPO = "org/heavy"
SIZE = 3_000_000
WEIGHTS = "/blobs/"  # the store's paths


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    """A Hub with one model of some files that a model needs, and some that it must not have."""
    model = heavy_model(SIZE, files=2)
    extra = {
        "README.md": hub_file(b"# Heavy"),
        "modeling_heavy.py": hub_file(b"raise SystemExit"),
        "pytorch_model.bin": hub_file(b"pickle", lfs=True),
        "original/params.json": hub_file(b"{}"),
        "tokenizer_config.json": hub_file(b'{"chat_template": "x"}'),
        "chat_template.jinja": hub_file(b"{{ messages }}"),
    }
    with serving({REPO: replace(model, files=model.files | extra)}) as made:
        yield made


@pytest.fixture
def access(hub: LoopbackHub, tmp_path: Path) -> HubAccess:
    return access_to(hub, tmp_path / "cache")


def store_bytes(hub: LoopbackHub) -> float:
    """What was sent, as a part of the model's size."""
    return hub.sent_bytes / SIZE


def test_the_files_come_once_and_stand_in_the_standard_cache(hub: LoopbackHub, access: HubAccess) -> None:
    status = fetch(REPO, access)
    assert (status.state, status.done_bytes) == ("done", status.total_bytes)
    assert status.files_done == status.files_total == 6
    check_cache(REPO, hub.models[REPO], access.cache_folder)
    assert store_bytes(hub) < 1.01
    found = status.folder or ""
    assert Path(found) == access.repo_folder(REPO) / "snapshots" / hub.models[REPO].commit
    assert {path.name for path in Path(found).iterdir()} == {
        "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
    }  # fmt: skip


def test_another_tool_finds_it_without_a_network(access: HubAccess) -> None:
    status = fetch(REPO, access)
    asking = f"import huggingface_hub as h; print(h.snapshot_download({REPO!r}, local_files_only=True))"
    environment = os.environ | {"HF_HUB_CACHE": str(access.cache_folder)}
    told = subprocess.run([sys.executable, "-c", asking], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == status.folder


def test_what_is_here_is_not_fetched_again(hub: LoopbackHub, access: HubAccess) -> None:
    fetch(REPO, access)
    before = hub.sent_bytes
    assert list_remote(REPO, access).bytes_to_fetch(access) == 0
    assert fetch(REPO, access).state == "done"
    assert hub.sent_bytes == before


def test_what_another_tool_has_begun_counts(hub: LoopbackHub, access: HubAccess) -> None:
    snapshot_download(REPO, cache_dir=access.cache_folder, endpoint=hub.endpoint, allow_patterns=["*-00001-*"])
    half = list_remote(REPO, access).bytes_to_fetch(access)
    assert SIZE / 2 <= half < SIZE / 2 + 1000
    hub.sent_bytes = 0
    assert fetch(REPO, access).state == "done"
    assert hub.sent_bytes == half


@pytest.mark.parametrize(
    "fault",
    [
        Fault("cut", WEIGHTS, times=6, at=700_001),
        Fault("stall", WEIGHTS, times=2, at=200_000),
        Fault("status", WEIGHTS, times=3, status=500),
        Fault("status", WEIGHTS, times=2, status=503, headers=(("Retry-After", "0"),)),
        Fault("status", "/api/models", times=3, status=502),
        Fault("status", WEIGHTS, status=429, headers=(("Retry-After", "1"),)),
        Fault("status", "/api/models", status=429, headers=(("RateLimit", '"api";r=0;t=1'),)),
        Fault("wrong_bytes", WEIGHTS, at=1_000_000),
        Fault("wrong_length", WEIGHTS, times=2, at=500),
        Fault("endless", WEIGHTS, times=2),
        Fault("status", "config.json", times=2, status=500),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.path.strip('/')}",
)
def test_a_passing_fault_is_overcome(hub: LoopbackHub, access: HubAccess, fault: Fault) -> None:
    hub.faults = [fault]
    status = fetch(REPO, access)
    assert status.state == "done", status
    assert not hub.faults
    check_cache(REPO, hub.models[REPO], access.cache_folder)


def test_a_cut_goes_on_where_it_was_cut(hub: LoopbackHub, access: HubAccess) -> None:
    hub.faults = [Fault("cut", WEIGHTS, at=at) for at in range(100_000, 1_400_000, 100_000)]
    assert fetch(REPO, access, replace(HASTY, tries=2, parallel_files=1)).state == "done"
    assert store_bytes(hub) < 1.01
    ranges = {asked.range for asked in hub.asked if asked.store}
    assert "bytes=100000-" in ranges


def test_a_server_without_ranges_sends_everything_again(hub: LoopbackHub, access: HubAccess) -> None:
    hub.faults = [Fault("cut", WEIGHTS, times=2, at=500_000), Fault("ignore_range", WEIGHTS, times=2)]
    assert fetch(REPO, access).state == "done"
    check_cache(REPO, hub.models[REPO], access.cache_folder)


def test_a_range_that_is_refused_begins_anew(hub: LoopbackHub, access: HubAccess) -> None:
    hub.faults = [Fault("cut", WEIGHTS, times=2, at=500_000), Fault("status", WEIGHTS, times=2, status=416)]
    assert fetch(REPO, access).state == "done"
    check_cache(REPO, hub.models[REPO], access.cache_folder)


def test_a_part_longer_than_the_file_begins_anew(hub: LoopbackHub, access: HubAccess) -> None:
    blobs = access.repo_folder(REPO) / "blobs"
    blobs.mkdir(parents=True)
    etag = hub.models[REPO].files["config.json"].etag
    (blobs / f"{etag}.part").write_bytes(b"x" * 10_000)
    assert fetch(REPO, access).state == "done"
    check_cache(REPO, hub.models[REPO], access.cache_folder)


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (Fault("status", "/api/models", times=99, status=500), "server", "error 500"),
        (Fault("status", WEIGHTS, times=99, status=500), "server", "error 500"),
        (Fault("status", WEIGHTS, times=99, status=404), "not_found", "no such file"),
        (Fault("status", WEIGHTS, times=99, status=401), "token", "access token"),
        (Fault("wrong_bytes", WEIGHTS, times=99, at=5), "checksum", "another checksum"),
        (Fault("redirect_loop", "/resolve/", times=999), "proxy", "in circles"),
        (Fault("stall", WEIGHTS, times=99), "server", "broke off"),
        (Fault("status", WEIGHTS, times=99, status=403), "token", "access token"),
        (Fault("status", "/resolve/", times=99, status=407), "proxy", "proxy"),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else "",
)
def test_a_lasting_fault_ends_with_a_sentence(
    hub: LoopbackHub, access: HubAccess, fault: Fault, kind: str, said: str
) -> None:
    hub.faults = [fault]
    status = fetch(REPO, access)
    assert (status.state, status.kind) == ("failed", kind)
    assert said in (status.message or "")
    assert len((status.message or "").splitlines()) == 1
    # Nothing that was not checked has the name of a blob.
    blobs = access.repo_folder(REPO) / "blobs"
    assert all(path.suffix == ".part" or path.stat().st_size < 1000 for path in blobs.glob("*"))
    hub.faults = []
    assert fetch(REPO, access).state == "done"
    check_cache(REPO, hub.models[REPO], access.cache_folder)


def test_wrong_bytes_are_fetched_again_once_and_only_those(hub: LoopbackHub, access: HubAccess) -> None:
    hub.faults = [Fault("wrong_bytes", WEIGHTS, times=99, at=5)]
    assert fetch(REPO, access, replace(HASTY, parallel_files=1)).kind == "checksum"
    assert store_bytes(hub) == pytest.approx(1.0, abs=0.01)  # half of the model, twice


class TestWhoMayRead:
    def test_a_gated_model_names_the_page(self, hub: LoopbackHub, access: HubAccess) -> None:
        hub.models[REPO].gated = True
        status = fetch(REPO, access)
        assert (status.state, status.kind) == ("failed", "gated")
        assert status.page == f"{hub.endpoint}/{REPO}"
        assert status.page in (status.message or "")

    def test_with_a_token_it_comes_and_the_store_never_sees_the_token(self, hub: LoopbackHub, tmp_path: Path) -> None:
        hub.models[REPO].gated = True
        assert fetch(REPO, access_to(hub, tmp_path, TOKEN)).state == "done"
        assert {asked.authorization for asked in hub.asked if asked.store} == {None}
        assert {asked.authorization for asked in hub.asked if not asked.store} == {f"Bearer {TOKEN}"}

    def test_a_private_model_is_not_told_from_one_that_is_not(self, hub: LoopbackHub, access: HubAccess) -> None:
        hub.models[REPO].private = True
        status = fetch(REPO, access)
        assert status.kind == "not_found"
        assert "private" in (status.message or "")

    def test_a_wrong_token_is_told(self, hub: LoopbackHub, tmp_path: Path) -> None:
        status = fetch(REPO, access_to(hub, tmp_path, "hf_wrong"))
        assert status.kind == "token"
        assert "refuses the access token" in (status.message or "")

    def test_a_terms_page_that_was_not_accepted(self, hub: LoopbackHub, tmp_path: Path) -> None:
        refused = Fault("status", "/resolve/", times=99, status=403, headers=(("X-Error-Code", "GatedRepo"),))
        hub.faults = [refused]
        assert fetch(REPO, access_to(hub, tmp_path, TOKEN)).kind == "gated"


def test_a_name_that_nobody_has(access: HubAccess) -> None:
    assert fetch("org/nothing", access).kind == "not_found"


def test_a_hub_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = HubAccess("http://127.0.0.1:9", None, tmp_path)
    status = fetch(REPO, mirror)
    assert (status.state, status.kind) == ("failed", "proxy")
    assert "http://127.0.0.1:9" in (status.message or "")


@pytest.mark.parametrize("name", ["../../evil.json", "/etc/evil.json", "a/../evil.json", "..\\evil.json", "x\n.json"])
def test_a_listing_that_leads_out_of_the_folder_is_not_trusted(
    hub: LoopbackHub, access: HubAccess, tmp_path: Path, name: str
) -> None:
    hub.models[REPO].files[name] = hub_file(b"{}")
    assert fetch(REPO, access).kind == "unsafe"
    assert not list(tmp_path.rglob("evil*"))
    assert not [asked for asked in hub.asked if "/resolve/" in asked.path]


def test_a_checksum_that_is_a_path_is_not_trusted(hub: LoopbackHub, access: HubAccess) -> None:
    files = hub.models[REPO].files
    files["config.json"] = replace(files["config.json"], git_sha1="../../../evil")
    assert fetch(REPO, access).kind == "unsafe"


def test_a_model_of_pickles_only_is_not_fetched(hub: LoopbackHub, access: HubAccess) -> None:
    hub.models[REPO] = HubModel({"pytorch_model.bin": hub_file(b"x" * 200_000), "config.json": hub_file(b"{}")})
    status = fetch(REPO, access)
    assert status.kind == "unsupported"
    assert "safetensors" in (status.message or "")


class TestDisk:
    def test_too_little_space_is_told_before_anything_is_fetched(self, hub: LoopbackHub, access: HubAccess) -> None:
        status = fetch(REPO, access, replace(HASTY, reserve_bytes=1 << 62))
        assert status.kind == "disk_full"
        assert "3.0 MB" in (status.message or "")
        assert hub.sent_bytes == 0

    def test_a_disk_that_fills_meanwhile_stops_it_and_loses_nothing(
        self, hub: LoopbackHub, access: HubAccess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(blob, "_DISK_CHECK_BYTES", 100_000)
        free = iter([10**12, 10**12, 10**12, *[50_000] * 1000])
        usage = SimpleNamespace(disk_usage=lambda folder: SimpleNamespace(free=next(free)))
        monkeypatch.setattr(blob, "shutil", usage)
        hub.bytes_per_second = 5e6
        status = fetch(REPO, access, replace(HASTY, parallel_files=1))
        assert (status.state, status.kind) == ("failed", "disk_full")
        assert "nothing is lost" in (status.message or "")
        monkeypatch.setattr(blob, "shutil", shutil)
        assert fetch(REPO, access).state == "done"
        assert store_bytes(hub) < 1.15  # what was under way when it stopped may come again

    def test_a_write_that_fails_for_want_of_space_is_told_so_and_goes_on_later(
        self, hub: LoopbackHub, access: HubAccess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write, taken = blob._write, 0

        def until_full(part: BinaryIO, piece: bytes) -> None:
            nonlocal taken
            taken += len(piece)
            if taken > 500_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            write(part, piece)

        monkeypatch.setattr(blob, "_write", until_full)
        status = fetch(REPO, access)
        assert (status.state, status.kind) == ("failed", "disk_full")
        assert "nothing is lost" in (status.message or "")
        monkeypatch.setattr(blob, "_write", write)
        assert fetch(REPO, access).state == "done"
        check_cache(REPO, hub.models[REPO], access.cache_folder)


class TestStopping:
    @pytest.mark.parametrize("when", ["stalled", "flowing", "waiting", "listing"])
    def test_a_pause_waits_for_nothing(self, hub: LoopbackHub, access: HubAccess, when: str) -> None:
        patient = replace(HASTY, first_wait_s=120.0, longest_wait_s=120.0, read_timeout_s=120.0)
        if when == "stalled":
            hub.faults = [Fault("stall", WEIGHTS, times=9, at=1000)]
        elif when == "waiting":
            hub.faults = [Fault("status", WEIGHTS, times=9, status=500)]
        elif when == "listing":
            hub.faults = [Fault("status", "/api/models", times=9, status=500)]
        hub.bytes_per_second = 500_000
        download = Download(REPO, access, limits=patient)
        download.start()
        states = {"waiting": ("waiting",), "listing": ("waiting", "listing")}.get(when, ("downloading",))
        until(lambda: download.status().state in states)
        until(lambda: hub.sent_bytes > 1000 or when in ("waiting", "listing"))
        download.pause()
        assert download.status().state == "paused"
        assert download.join(30.0), "it waited for what it had to give up"
        hub.faults, hub.bytes_per_second = [], None
        assert fetch(REPO, access).state == "done"
        check_cache(REPO, hub.models[REPO], access.cache_folder)

    def test_a_pause_keeps_every_byte(self, hub: LoopbackHub, access: HubAccess) -> None:
        hub.bytes_per_second = 1_000_000
        for _ in range(3):
            download = Download(REPO, access, limits=HASTY)
            download.start()
            before = hub.sent_bytes
            until(lambda before=before: hub.sent_bytes > before + 200_000)
            download.pause()
            assert download.join(2)
        hub.bytes_per_second = None
        assert fetch(REPO, access).state == "done"
        assert store_bytes(hub) < 1.1

    def test_a_cancel_leaves_nothing(self, hub: LoopbackHub, access: HubAccess) -> None:
        hub.bytes_per_second = 500_000
        download = Download(REPO, access, limits=HASTY)
        download.start()
        until(lambda: hub.sent_bytes > 50_000)
        download.cancel()
        assert download.join(30.0)
        assert download.status().state == "cancelled"
        assert not list(access.cache_folder.rglob("*.part"))

    def test_what_is_done_is_not_cancelled(self, access: HubAccess) -> None:
        download = Download(REPO, access, limits=HASTY)
        download.start()
        download.join()
        download.cancel()
        assert download.status().state == "done"


def test_speed_and_time_left_are_told_while_it_runs(hub: LoopbackHub, access: HubAccess) -> None:
    hub.bytes_per_second = 800_000  # for each of the two files
    download = Download(REPO, access, limits=HASTY)
    download.start()
    until(lambda: (download.status().speed_bytes_s or 0) > 0)
    time.sleep(0.6)
    status = download.status()
    assert status.speed_bytes_s is not None
    assert 0 < status.speed_bytes_s < 2_500_000, "no faster than the Hub sends; a busy machine may be slower"
    assert status.total_bytes is not None
    assert status.left_s == pytest.approx((status.total_bytes - status.done_bytes) / status.speed_bytes_s)
    download.cancel()
    assert download.join(30)
