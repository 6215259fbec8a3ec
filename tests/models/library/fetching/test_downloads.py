"""The queue of downloads: its order, what survives the process, and names of every form."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mlx_spec.errors import DownloadError, ModelNotFoundError
from mlx_spec.models.hub_names import nearest, repo_id_of
from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.fetching import blob, download
from mlx_spec.models.library.fetching.downloads import Downloads
from mlx_spec.models.library.fetching.speed import SpeedMeter
from tests.hub.contents import heavy_model, hub_file
from tests.hub.fetching import HASTY, access_to, check_cache, until
from tests.hub.loopback import LoopbackHub, serving

ONE, TWO, DEV = "org/one", "org/two", "org/one@dev"


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    """A Hub with two models of a megabyte."""
    with serving({ONE: heavy_model(1_000_000), TWO: heavy_model(1_000_001)}) as served:
        yield served


def weights_of(hub: LoopbackHub, name: str) -> str:
    """The etag of a model's only file of weights."""
    model = hub.models[name.partition("@")[0]].at(name.partition("@")[2] or None)
    assert model is not None
    return model.files["model-00001-of-00001.safetensors"].etag


def part_of(hub: LoopbackHub, access: HubAccess, name: str) -> Path:
    """Where the weights of a model gather."""
    return access.repo_folder(name) / "blobs" / f"{weights_of(hub, name)}.part"


def pause_begun(downloads: Downloads, hub: LoopbackHub, name: str) -> None:
    """Begin a download, and pause it when a part of its weights is here."""
    hub.bytes_per_second = 300_000
    downloads.add(name)
    until(lambda: downloads.status(name).done_bytes > 30_000)
    downloads.pause(name)
    hub.bytes_per_second = None


@pytest.fixture
def access(hub: LoopbackHub, tmp_path: Path) -> HubAccess:
    return access_to(hub, tmp_path / "cache")


@pytest.fixture
def downloads(access: HubAccess, tmp_path: Path) -> Iterator[Downloads]:
    made = queue(access, tmp_path)
    yield made
    made.close()


def queue(access: HubAccess, tmp_path: Path) -> Downloads:
    """A queue as a process makes it."""
    return Downloads(tmp_path / "records", access=lambda: access, limits=HASTY)


def test_models_come_one_after_the_other(downloads: Downloads, hub: LoopbackHub, access: HubAccess) -> None:
    hub.bytes_per_second = 2e6
    downloads.add(ONE)
    assert downloads.add(TWO).state == "queued"
    assert downloads.wait(TWO, 20).state == "done"
    assert [status.state for status in downloads.statuses()] == ["done", "done"]
    order = [asked.path for asked in hub.asked if asked.store]
    assert order == [
        f"/blobs/{hub.models[name].files['model-00001-of-00001.safetensors'].sha256}" for name in (ONE, TWO)
    ]
    check_cache(TWO, hub.models[TWO], access.cache_folder)


def test_a_paused_one_lets_the_next_go(downloads: Downloads, hub: LoopbackHub) -> None:
    hub.bytes_per_second = 300_000
    downloads.add(ONE)
    downloads.add(TWO)
    until(lambda: hub.sent_bytes > 30_000)
    assert downloads.pause(ONE).state == "paused"
    until(lambda: downloads.status(TWO).state == "downloading")
    hub.bytes_per_second = None
    assert downloads.wait(TWO, 20).state == "done"
    assert downloads.resume(ONE).state in ("queued", "listing", "downloading")
    assert downloads.wait(ONE, 20).state == "done"


def test_a_queued_one_can_be_paused_and_cancelled(downloads: Downloads, hub: LoopbackHub) -> None:
    hub.bytes_per_second = 300_000
    downloads.add(ONE)
    downloads.add(TWO)
    assert downloads.pause(TWO).state == "paused"
    assert downloads.cancel(TWO).state == "cancelled"
    downloads.forget(TWO)
    with pytest.raises(DownloadError):
        downloads.status(TWO)


def test_what_was_going_on_goes_on_and_what_was_paused_stays_paused(
    hub: LoopbackHub, access: HubAccess, tmp_path: Path
) -> None:
    hub.bytes_per_second = 400_000
    earlier = queue(access, tmp_path)
    earlier.add(TWO)
    until(lambda: hub.sent_bytes > 30_000)
    earlier.pause(TWO)
    earlier.add(ONE)
    until(lambda: earlier.status(ONE).done_bytes > 30_000)
    earlier.close()

    hub.bytes_per_second = None
    later = queue(access, tmp_path)
    later.restore()
    paused = later.status(TWO)
    assert paused.state == "paused"
    assert 0 < paused.done_bytes < (paused.total_bytes or 0)
    assert later.wait(ONE, 20).state == "done"
    assert later.status(TWO).state == "paused"
    later.close()
    assert hub.sent_bytes < 1.5 * hub.models[ONE].total_bytes
    third = queue(access, tmp_path)
    third.restore()
    assert [status.repo_id for status in third.statuses()] == [TWO]


def test_the_same_number_is_the_same_state_and_a_higher_one_is_later(downloads: Downloads, hub: LoopbackHub) -> None:
    hub.bytes_per_second = 3e6
    seen: list[tuple[int, tuple[tuple[str, int, str, int], ...]]] = [(0, ())]
    stopped = threading.Event()

    def look() -> None:
        while not stopped.is_set():
            downloads.changes.wait_for(lambda: stopped.is_set() or downloads.listing().revision > seen[-1][0])
            told = downloads.listing()
            statuses = tuple((one.repo_id, one.revision, one.state, one.done_bytes) for one in told.downloads)
            seen.append((told.revision, statuses))

    onlooker = threading.Thread(target=look)
    onlooker.start()
    for _ in range(3):
        downloads.add(ONE)
        downloads.add(TWO)
        assert downloads.wait(TWO, 60).state == "done"
        downloads.forget(ONE)
        downloads.forget(TWO)
    stopped.set()
    downloads.add(ONE)
    onlooker.join()
    numbers = [number for number, _ in seen]
    assert numbers == sorted(numbers)
    assert len(set(seen)) == len(set(numbers)) > 3
    for _, statuses in seen:
        assert len({revision for _, revision, _, _ in statuses}) == len(statuses), "each change has its own number"


def test_who_waits_is_woken_by_the_end_and_by_being_forgotten(downloads: Downloads, hub: LoopbackHub) -> None:
    hub.models[ONE].gated = True
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(downloads.changes.wait_for, lambda: bool(downloads.statuses()), 20)
        downloads.add(ONE)
        assert waiting.result()
        ended = pool.submit(downloads.wait, ONE)
        assert ended.result(20).state == "failed"
        gone = pool.submit(downloads.changes.wait_for, lambda: not downloads.statuses(), 20)
        downloads.forget(ONE)
        assert gone.result()


def test_a_failed_one_is_tried_again_when_asked(downloads: Downloads, hub: LoopbackHub) -> None:
    hub.models[ONE].gated = True
    downloads.add(ONE)
    assert downloads.wait(ONE, 20).kind == "gated"
    hub.models[ONE].gated = False
    downloads.add(ONE)
    assert downloads.wait(ONE, 20).state == "done"


def test_a_damaged_record_is_dropped_and_the_others_kept(hub: LoopbackHub, access: HubAccess, tmp_path: Path) -> None:
    records = tmp_path / "records"
    records.mkdir()
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"repo_id": "x/y"}'), ("d", '{"added_s": null, "state": 1}')):
        (records / f"{name}.json").write_text(text)
    downloads = queue(access, tmp_path)
    downloads.restore()
    assert downloads.statuses() == []
    assert list(records.iterdir()) == []


def test_it_survives_an_update_either_way(hub: LoopbackHub, access: HubAccess, tmp_path: Path) -> None:
    hub.bytes_per_second = 400_000
    earlier = queue(access, tmp_path)
    earlier.add(ONE)
    until(lambda: earlier.status(ONE).done_bytes > 30_000)
    earlier.close()
    [path] = (tmp_path / "records").iterdir()
    kept = json.loads(path.read_text())
    # One version wrote what another one has never heard of, and lacks what that one keeps.
    path.write_text(json.dumps({name: kept[name] for name in ("repo_id", "state", "added_s")} | {"priority": "high"}))
    hub.bytes_per_second = None
    later = queue(access, tmp_path)
    later.restore()
    assert later.wait(ONE, 20).state == "done"
    check_cache(ONE, hub.models[ONE], access.cache_folder)
    assert hub.sent_bytes < 1.5 * hub.models[ONE].total_bytes, "what had arrived was not fetched again"
    later.close()


def test_a_commit_that_is_gone_is_replaced_by_what_is_there(
    hub: LoopbackHub, access: HubAccess, tmp_path: Path
) -> None:
    hub.bytes_per_second = 400_000
    earlier = queue(access, tmp_path)
    earlier.add(ONE)
    until(lambda: earlier.status(ONE).done_bytes > 30_000)
    earlier.close()
    old = hub.models[ONE]
    hub.models[ONE] = replace(old, files=old.files | {"special_tokens_map.json": heavy_model(1).files["config.json"]})
    hub.bytes_per_second = None
    later = queue(access, tmp_path)
    later.restore()
    assert later.wait(ONE, 20).state == "done"
    check_cache(ONE, hub.models[ONE], access.cache_folder)


class TestWhatACancelRemoves:
    @pytest.fixture(params=["other weights", "the same weights"])
    def branched(self, hub: LoopbackHub, request: pytest.FixtureRequest) -> None:
        """A branch of the first model, with weights of its own or with those of the model."""
        own = heavy_model(1_000_002 if request.param == "other weights" else 1_000_000)
        hub.models[ONE].branches["dev"] = replace(own, files=own.files | {"dev.json": hub_file(b"[]")})

    @pytest.mark.usefixtures("branched")
    @pytest.mark.parametrize("restarted", [False, True])
    @pytest.mark.parametrize("paused", [False, True])
    def test_it_leaves_what_another_revision_has_begun(
        self, hub: LoopbackHub, access: HubAccess, tmp_path: Path, restarted: bool, paused: bool
    ) -> None:
        downloads = queue(access, tmp_path)
        pause_begun(downloads, hub, ONE)
        if paused:
            pause_begun(downloads, hub, DEV)
        if restarted:
            downloads.close()
            downloads = queue(access, tmp_path)
            downloads.restore()
        if not paused:
            hub.bytes_per_second = 300_000
            downloads.add(DEV)
            until(lambda: downloads.status(DEV).done_bytes > 30_000)
        assert downloads.cancel(DEV).state == "cancelled"
        if weights_of(hub, DEV) != weights_of(hub, ONE):
            until(lambda: not part_of(hub, access, DEV).exists())
        downloads.close()
        assert part_of(hub, access, ONE).stat().st_size > 30_000
        hub.bytes_per_second, hub.sent_bytes = None, 0
        last = queue(access, tmp_path)
        last.restore()
        last.add(ONE)
        assert last.wait(ONE, 20).state == "done"
        assert hub.sent_bytes < 990_000, "what had arrived was not fetched again"
        last.close()

    @pytest.mark.parametrize("restarted", [False, True])
    def test_it_takes_what_a_paused_one_had_begun(
        self, hub: LoopbackHub, access: HubAccess, tmp_path: Path, restarted: bool
    ) -> None:
        downloads = queue(access, tmp_path)
        pause_begun(downloads, hub, ONE)
        if restarted:
            downloads.close()
            downloads = queue(access, tmp_path)
            downloads.restore()
        assert part_of(hub, access, ONE).exists()
        assert downloads.cancel(ONE).state == "cancelled"
        until(lambda: not part_of(hub, access, ONE).exists())
        assert downloads.close()

    def test_it_goes_also_where_an_older_version_has_not_recorded_what_it_wants(
        self, hub: LoopbackHub, access: HubAccess, tmp_path: Path
    ) -> None:
        earlier = queue(access, tmp_path)
        pause_begun(earlier, hub, ONE)
        assert earlier.close()
        [path] = (tmp_path / "records").iterdir()
        kept = json.loads(path.read_text())
        assert weights_of(hub, ONE) in kept.pop("etags")
        path.write_text(json.dumps(kept))
        later = queue(access, tmp_path)
        later.restore()
        assert later.cancel(ONE).state == "cancelled"
        assert not part_of(hub, access, ONE).exists()

    def test_it_leaves_what_the_same_model_added_again_has_begun(
        self, downloads: Downloads, hub: LoopbackHub, access: HubAccess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        late, removed, may_remove = threading.Event(), threading.Event(), threading.Event()

        def remove_late(*arguments: object) -> None:
            late.set()
            assert may_remove.wait(20)
            blob.remove_parts(*arguments)  # type: ignore[arg-type]
            removed.set()

        monkeypatch.setattr(download, "remove_parts", remove_late)
        hub.bytes_per_second = 300_000
        downloads.add(ONE)
        until(lambda: downloads.status(ONE).done_bytes > 30_000)
        downloads.cancel(ONE)
        assert late.wait(20)
        downloads.add(ONE)
        until(lambda: downloads.status(ONE).done_bytes > 60_000)
        downloads.pause(ONE)
        may_remove.set()
        assert removed.wait(20)
        assert part_of(hub, access, ONE).stat().st_size > 30_000

    def test_it_leaves_what_another_process_has_begun(
        self, downloads: Downloads, hub: LoopbackHub, access: HubAccess, tmp_path: Path
    ) -> None:
        hub.models[ONE].branches["dev"] = hub.models[ONE]
        downloads.restore()
        other = queue(access, tmp_path)
        pause_begun(other, hub, DEV)
        assert other.close()
        pause_begun(downloads, hub, ONE)
        downloads.cancel(ONE)
        assert downloads.close()
        assert part_of(hub, access, DEV).stat().st_size > 30_000


@pytest.mark.parametrize(
    "text",
    [
        "org/one",
        " org/one ",
        "https://huggingface.co/org/one",
        "https://huggingface.co/org/one/tree/main?x=1",
        "huggingface.co/org/one/",
        "hf.co/org/one",
        "https://mirror.example/org/one/resolve/main/config.json",
    ],
)
def test_a_name_may_be_an_address(text: str) -> None:
    assert repo_id_of(text) == "org/one"


@pytest.mark.parametrize("text", ["", "one", "org/", "/one", "../x/y", "https://huggingface.co/datasets/a/b", "a/b/c"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ModelNotFoundError, match="owner/name"):
        repo_id_of(text)


def test_the_nearest_names_come_first() -> None:
    known = ["mlx-community/Qwen3-8B-4bit", "mlx-community/Qwen3-14B-4bit", "org/Mistral-7B"]
    assert nearest("mlx-community/qwen3-8b-4bt", known)[0] == "mlx-community/Qwen3-8B-4bit"
    assert nearest("mistral-7b", known) == ["org/Mistral-7B"]
    assert nearest("zzz", known) == []


def test_speed_is_that_of_the_last_seconds() -> None:
    meter = SpeedMeter()
    for second in range(20):
        meter.update(1000 * second, now_s=float(second))
    assert meter.bytes_per_second(19_000, now_s=19.0) == pytest.approx(1000)
    # Nothing for a while: the speed falls, and is nothing at last.
    assert meter.bytes_per_second(19_000, now_s=23.0) == pytest.approx(19_000 * 4 / 38 / 2, rel=0.5)
    assert meter.bytes_per_second(19_000, now_s=40.0) is None
    meter.update(5, now_s=41.0)  # began anew
    assert meter.bytes_per_second(1005, now_s=42.0) == pytest.approx(1000)
