"""/v1/models/…: finding, judging, fetching and keeping models over HTTP, against a loopback Hub."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from mlx_spec.models.library.fetching.downloads import Downloads
from mlx_spec.server.library.changes import changes_of
from tests.hub.contents import heavy_model
from tests.hub.faults import Fault
from tests.hub.fetching import check_cache, until
from tests.hub.loopback import LoopbackHub, serving
from tests.server.live import Live, live_server
from tests.server.scripted import ScriptedDecoder, ScriptedPair

REPO = "org/heavy-4bit"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A Hub with one model of 3 MB."""
    with serving({REPO: heavy_model(3_000_000, files=2)}) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        yield served


@pytest.fixture
def server(lookahead_home: object) -> Iterator[Live]:
    """A server of its own for each test: its downloads belong to that test's data folder."""
    with live_server(lambda progress: (ScriptedPair(), ScriptedDecoder())) as live:
        yield live


def get(server: Live, path: str, **params: str) -> Any:
    answer = server.http.get(f"/v1/models/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(server: Live, path: str, **body: str) -> Any:
    answer = server.http.post(f"/v1/models/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def states(server: Live) -> dict[str, str]:
    return {status["repo_id"]: status["state"] for status in get(server, "downloads")["downloads"]}


def test_a_model_is_found_judged_fetched_checked_and_deleted(
    server: Live, hub: LoopbackHub, lookahead_home: Any
) -> None:
    [group] = get(server, "search", q="heavy")["available"]
    assert group["models"][0]["repo_id"] == REPO
    judged = get(server, "judge", name=f"https://huggingface.co/{REPO}")
    assert judged["fetch_bytes"] > 3_000_000
    assert post(server, "downloads", name=REPO)["repo_id"] == REPO
    until(lambda: states(server)[REPO] == "done")
    check_cache(REPO, hub.models[REPO], lookahead_home / "hub")
    assert get(server, "judge", name=REPO)["fetch_bytes"] == 0
    installed = get(server, "installed")
    assert [model["name"] for model in installed["models"]] == [REPO]
    assert installed["total_bytes"] == judged["total_bytes"]
    assert post(server, f"installed/{REPO}/verify")["wrong"] == []
    freed = server.http.delete(f"/v1/models/installed/{REPO}").json()
    assert freed["freed_bytes"] == judged["total_bytes"]
    assert get(server, "installed")["models"] == []


def test_events_tell_every_state_until_it_is_done(server: Live, hub: LoopbackHub) -> None:
    hub.faults = [Fault("status", "/blobs/", times=2, status=500)]
    hub.bytes_per_second = 2e6
    seen: list[str] = []
    with server.http.stream("GET", "/v1/models/downloads/events", timeout=20) as stream:
        post(server, "downloads", name=REPO)
        for line in stream.iter_lines():
            if line.startswith("data: "):
                seen += [status["state"] for status in json.loads(line[6:])["downloads"]]
            if "done" in seen:
                break
    assert {"downloading", "done"} <= set(seen)


def test_a_download_done_again_between_two_looks_is_told_though_it_looks_as_before(
    hub: LoopbackHub, lookahead_home: Path
) -> None:
    downloads = Downloads(lookahead_home / "downloads")
    downloads.add(REPO)
    assert downloads.wait(REPO, 20).state == "done"

    async def look_twice() -> tuple[Any, Any]:
        events = changes_of(downloads, anyio.Event())
        first = json.loads(await anext(events))
        # All of this is between two looks: nothing is read of the stream meanwhile.
        downloads.forget(REPO)
        downloads.add(REPO)
        downloads.wait(REPO, 20)
        second = json.loads(await asyncio.wait_for(anext(events), 20))
        await events.aclose()
        return first, second

    first, second = asyncio.run(look_twice())
    [status], [again] = first["downloads"], second["downloads"]
    assert status | {"revision": 0} == again | {"revision": 0}, "by how it looks nothing has changed"
    assert status["revision"] <= first["revision"] < again["revision"] <= second["revision"]
    assert first["run"] == second["run"]
    downloads.close()


def test_a_stream_at_rest_is_woken_by_every_change(hub: LoopbackHub, lookahead_home: Path) -> None:
    hub.models[REPO].gated = True
    downloads = Downloads(lookahead_home / "downloads")

    async def follow() -> list[tuple[int, str]]:
        told: list[tuple[int, str]] = []
        async with contextlib.aclosing(changes_of(downloads, anyio.Event())) as events:
            assert json.loads(await anext(events))["downloads"] == []
            downloads.add(REPO)
            async for event in events:
                [status] = json.loads(event)["downloads"]
                told.append((status["revision"], status["state"]))
                if status["state"] == "failed":
                    return told
        raise AssertionError("the stream ended by itself")

    told = asyncio.run(asyncio.wait_for(follow(), 30))
    assert told == sorted(told), "no event is older than one before it"
    downloads.close()


def test_pause_resume_and_cancel(server: Live, hub: LoopbackHub) -> None:
    hub.bytes_per_second = 300_000
    post(server, "downloads", name=REPO)
    until(lambda: hub.sent_bytes > 50_000)
    assert post(server, f"downloads/{REPO}/pause")["state"] == "paused"
    paused = get(server, "downloads")["downloads"][0]
    assert 0 < paused["done_bytes"] < paused["total_bytes"]
    post(server, f"downloads/{REPO}/resume")
    until(lambda: states(server)[REPO] == "downloading")
    assert post(server, f"downloads/{REPO}/cancel")["state"] == "cancelled"
    before = get(server, "downloads")
    after = server.http.delete(f"/v1/models/downloads/{REPO}").json()
    assert (after["run"], after["downloads"]) == (before["run"], [])
    assert after["revision"] > before["revision"]


def test_an_unfinished_download_goes_on_in_the_next_process(hub: LoopbackHub, lookahead_home: Any) -> None:
    hub.bytes_per_second = 300_000
    earlier = Downloads(lookahead_home / "downloads")
    earlier.add(REPO)
    until(lambda: hub.sent_bytes > 50_000)
    earlier.close()
    hub.bytes_per_second = None
    with live_server(lambda progress: (ScriptedPair(), ScriptedDecoder())) as later:
        until(lambda: states(later)[REPO] == "done")
    assert hub.sent_bytes < 1.2 * hub.models[REPO].total_bytes


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "judge", 400, "name is missing"),
        ("GET", "judge?name=nonsense", 404, "not a model of the Hub"),
        ("GET", "judge?name=org/nothing", 404, "The Hub has no model"),
        ("GET", f"judge?name={REPO}&context=0", 400, "context is '0'"),
        ("POST", "downloads/org/nothing/pause", 404, "Nothing called org/nothing"),
        ("POST", "downloads/org/nothing/resume", 404, "Nothing called org/nothing"),
        ("POST", "downloads/org/nothing/fly", 400, "'fly' is nothing"),
        ("POST", "downloads", 400, "not valid JSON"),
        ("DELETE", "installed/org/nothing", 404, "No model called org/nothing"),
        ("POST", "installed/org/nothing/verify", 404, "No model called org/nothing"),
    ],
)
def test_what_cannot_be_done_is_said(
    server: Live, hub: LoopbackHub, method: str, path: str, status: int, said: str
) -> None:
    answer = server.http.request(method, f"/v1/models/{path}")
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]["message"]


def test_a_gated_model_is_403_with_its_page(server: Live, hub: LoopbackHub) -> None:
    hub.models[REPO].gated = True
    post(server, "downloads", name=REPO)
    until(lambda: states(server)[REPO] == "failed")
    [status] = get(server, "downloads")["downloads"]
    assert (status["kind"], status["page"]) == ("gated", f"{hub.endpoint}/{REPO}")


def test_a_token_is_never_told(server: Live, hub: LoopbackHub) -> None:
    answer = server.http.put("/v1/models/token", json={"token": "hf_secret"})
    assert "secret" not in answer.text
    assert server.http.put("/v1/models/token", json={"token": "with space"}).status_code == 400


def test_the_routes_want_the_key(server: Live) -> None:
    assert httpx.get(f"{server.url}/v1/models/installed").status_code == 401


def test_a_served_model_keeps_its_own_path(server: Live) -> None:
    assert server.http.get("/v1/models/scripted").json()["id"] == "scripted"


class TestPlace:
    def test_the_cache_moves_and_is_found_where_it_was(self, server: Live, hub: LoopbackHub, tmp_path: Path) -> None:
        post(server, "downloads", name=REPO)
        until(lambda: states(server)[REPO] == "done", 20)
        before = get(server, "place")
        told = server.http.put("/v1/models/place/folder", json={"folder": str(tmp_path / "big disk")})
        assert told.status_code == 200, told.text
        assert told.json()["moved_bytes"] >= hub.models[REPO].total_bytes
        assert get(server, "place") == {**before, "lies_in": str(tmp_path / "big disk")}
        assert [model["name"] for model in get(server, "installed")["models"]] == [REPO]
        assert post(server, f"installed/{REPO}/verify")["wrong"] == []

    def test_it_does_not_move_under_a_download(self, server: Live, hub: LoopbackHub, tmp_path: Path) -> None:
        hub.bytes_per_second = 200_000
        post(server, "downloads", name=REPO)
        until(lambda: states(server)[REPO] == "downloading")
        told = server.http.put("/v1/models/place/folder", json={"folder": str(tmp_path / "new")})
        assert told.status_code == 400
        assert f"{REPO} is being downloaded" in told.json()["error"]["message"]
        assert not (tmp_path / "new").exists()
        hub.bytes_per_second = None
        post(server, f"downloads/{REPO}/cancel")

    @pytest.mark.parametrize("folder", ["", " "])
    def test_no_folder_is_refused(self, server: Live, folder: str) -> None:
        assert server.http.put("/v1/models/place/folder", json={"folder": folder}).status_code == 400

    def test_a_mirror_is_asked_from_then_on_and_forgotten_again(
        self, server: Live, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("HF_ENDPOINT")
        assert get(server, "place")["endpoint"] == "https://huggingface.co"
        told = server.http.put("/v1/models/place/mirror", json={"address": f"{hub.endpoint}/"})
        assert told.json()["endpoint"] == hub.endpoint
        assert get(server, "judge", name=REPO)["repo_id"] == REPO
        refused = server.http.put("/v1/models/place/mirror", json={"address": "not an address"})
        assert refused.status_code == 400
        assert get(server, "place")["endpoint"] == hub.endpoint
        assert server.http.put("/v1/models/place/mirror", json={"address": ""}).status_code == 200
        assert get(server, "place")["endpoint"] == "https://huggingface.co"


def test_pairs_for_this_machine(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlx_spec.server.library.suggested.available_bytes", lambda: 11 * 10**9)
    monkeypatch.setattr("mlx_spec.server.library.suggested.known_bandwidth", lambda: 100e9)
    told = server.http.get("/v1/models/suggestions").json()
    assert (told["available_bytes"], told["bandwidth_bytes_per_s"]) == (11 * 10**9, 100e9)
    assert [one["role"] for one in told["suggestions"]] == ["largest", "code", "quick"]
    assert all(one["pair"]["measured"] is None and one["plain_rate"] > 2 for one in told["suggestions"])
