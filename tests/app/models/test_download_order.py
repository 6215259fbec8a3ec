"""Answers and events of the engine come on connections of their own: what the window shows goes by their numbers."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from app.engine.download_records import Download, DownloadList, parse_download, parse_downloads
from app.engine.models_client import ModelsClient
from app.engine.network import EngineAddress
from app.engine.speculation_client import SpeculationClient
from app.models.choice import Choice, Entry
from app.models.library import ModelsViewModel

NAME = "org/model"


def one(revision: int, state: str, name: str = NAME) -> Download:
    """A download as an answer tells it."""
    return parse_download({"repo_id": name, "revision": revision, "state": state, "run": "a"})


def all_of(revision: int, *downloads: Download, run: str = "a") -> DownloadList:
    """All downloads as an event tells them."""
    return DownloadList(run, revision, downloads)


class Told(ModelsViewModel):
    """The view model, told what an engine would; it counts how often it looks what is installed."""

    def __init__(self) -> None:
        super().__init__(ModelsClient())
        self.looks = 0
        self.client.refused.connect(self._count)

    def _count(self, task: str) -> None:
        self.looks += task == "installed"

    def tell(self, told: DownloadList) -> None:
        self.client.downloads_changed.emit(told)

    def answer(self, told: Download | DownloadList) -> None:
        task = "download" if isinstance(told, Download) else "downloads"
        self.client.answered.emit(task, NAME, told)

    @property
    def states(self) -> dict[str, str]:
        return {one.repo_id: one.state for one in self.downloads.downloads}


@pytest.fixture
def told(qtbot: QtBot) -> Told:
    return Told()


def test_an_older_answer_never_overwrites_a_newer_event(told: Told) -> None:
    told.tell(all_of(3, one(3, "done")))
    # Forgotten, added and done again: the event of its end comes before the answer of its beginning.
    told.tell(all_of(9, one(9, "done")))
    told.answer(one(5, "listing"))
    assert told.states == {NAME: "done"}


def test_a_newer_answer_is_not_taken_back_by_an_older_event(told: Told) -> None:
    told.answer(one(5, "listing"))
    told.tell(all_of(4))
    assert told.states == {NAME: "listing"}
    told.tell(all_of(6, one(6, "downloading")))
    assert told.states == {NAME: "downloading"}


def test_what_was_forgotten_does_not_come_back_by_a_late_answer(told: Told) -> None:
    told.tell(all_of(5, one(5, "cancelled"), one(2, "done", "org/other")))
    told.answer(all_of(6, one(2, "done", "org/other")))
    told.answer(one(5, "cancelled"))
    told.tell(all_of(5, one(5, "cancelled")))
    assert told.states == {"org/other": "done"}


def test_a_download_done_once_more_is_looked_for_once_more(told: Told) -> None:
    told.tell(all_of(3, one(3, "done")))
    assert told.looks == 1
    told.tell(all_of(3, one(3, "done")))
    assert told.looks == 1
    told.tell(all_of(9, one(9, "done")))
    assert told.looks == 2


def test_what_was_being_judged_while_a_download_ended_is_judged_once_more(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(told.client, "judge", asked.append)
    told.choose(Entry("a branch"), Choice(f"{NAME}@dev"))
    told.tell(all_of(3, one(3, "done", "org/other")))
    assert asked == [f"{NAME}@dev"]
    told.tell(all_of(6, one(6, "done"), one(3, "done", "org/other")))
    assert asked == [f"{NAME}@dev"] * 2, "both share files, and its answer may be of before"


def test_another_run_of_the_engine_counts_anew(told: Told) -> None:
    told.tell(all_of(90, one(80, "paused")))
    told.tell(all_of(1, one(1, "queued"), run="b"))
    assert told.states == {NAME: "queued"}


def test_an_engine_that_numbers_nothing_is_believed_as_it_comes(told: Told) -> None:
    for state in ("listing", "done"):
        told.tell(parse_downloads({"downloads": [{"repo_id": NAME, "state": state}]}))
        assert told.states == {NAME: state}
    assert told.looks == 1
    told.answer(parse_download({"repo_id": NAME, "state": "queued"}))
    assert told.states == {NAME: "queued"}


def test_rows_keep_their_places(told: Told) -> None:
    told.tell(all_of(3, one(1, "done", "a/1"), one(2, "paused", "a/2"), one(3, "queued", "a/3")))
    told.answer(one(4, "downloading", "a/2"))
    told.answer(one(5, "queued", "a/4"))
    assert list(told.states.items()) == [
        ("a/1", "done"), ("a/2", "downloading"), ("a/3", "queued"), ("a/4", "queued")
    ]  # fmt: skip


@dataclass
class Script:
    """An engine of which every request waits until the test lets it be answered."""

    server: ThreadingHTTPServer
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    gates: dict[str, threading.Event] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def address(self) -> EngineAddress:
        return EngineAddress(f"http://127.0.0.1:{self.server.server_address[1]}", "key")

    def gate(self, name: str) -> threading.Event:
        with self.lock:
            return self.gates.setdefault(name, threading.Event())

    def answer(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            number = sum(name.startswith(f"{method} {path}") for name in self.begun) + 1
            name = f"{method} {path} {number}"
            self.begun.append(name)
        assert self.gate(name).wait(20)
        with self.lock:
            self.ended.append(name)
        if path.endswith("settings"):
            return {"request": str(body)}
        if path.endswith("memory"):
            return {"models_bytes": 0, "process_bytes": 0, "unload_after_s": body.get("unload_after_s", 0)}
        return {"models": [], "total_bytes": number, "folder": ""}


@pytest.fixture
def script() -> Iterator[Script]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Nothing on stderr."""

        def _answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            data = json.dumps(script.answer(self.command, self.path, body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = _answer  # noqa: N815 - the base class's names

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        script = Script(server)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield script
        for gate in list(script.gates.values()):
            gate.set()
        server.shutdown()
        thread.join()


def test_an_answer_that_was_overtaken_is_not_told(script: Script, qtbot: QtBot) -> None:
    client, stocks = ModelsClient(), []
    client.set_address(script.address)
    client.answered.connect(lambda task, subject, value: stocks.append(value.total_bytes))
    path = "GET /v1/models/installed"
    client.fetch_installed()
    qtbot.waitUntil(lambda: script.begun == [f"{path} 1"])
    client.fetch_installed()
    qtbot.waitUntil(lambda: len(script.begun) == 2)
    script.gate(f"{path} 2").set()
    qtbot.waitUntil(lambda: stocks == [2])
    script.gate(f"{path} 1").set()
    client.fetch_installed()
    script.gate(f"{path} 3").set()
    qtbot.waitUntil(lambda: 3 in stocks and len(script.ended) == 3)
    qtbot.waitUntil(lambda: not client.is_asking)
    assert stocks == [2, 3]


def test_a_question_before_a_change_does_not_undo_what_the_change_told(script: Script, qtbot: QtBot) -> None:
    client, told = ModelsClient(), []
    client.set_address(script.address)
    client.answered.connect(lambda task, subject, value: told.append(value.unload_after_s))
    client.fetch_memory()
    qtbot.waitUntil(lambda: len(script.begun) == 1)
    client.unload_after(300)
    script.gate("PUT /v1/models/memory 1").set()
    qtbot.waitUntil(lambda: told == [300])
    script.gate("GET /v1/models/memory 1").set()
    qtbot.waitUntil(lambda: not client.is_asking)
    assert told == [300]


def test_an_engine_that_was_left_is_not_listened_to(script: Script, qtbot: QtBot) -> None:
    client, told, refused = ModelsClient(), [], []
    client.set_address(script.address)
    client.answered.connect(lambda task, subject, value: told.append(task))
    client.refused.connect(lambda task, subject, refusal: refused.append(refusal.kind))
    client.fetch_installed()
    qtbot.waitUntil(lambda: len(script.begun) == 1)
    client.set_address(EngineAddress("http://127.0.0.1:9", "key"))
    script.gate("GET /v1/models/installed 1").set()
    qtbot.waitUntil(lambda: not client.is_asking)
    assert (told, refused) == ([], ["gone"])


def test_changes_of_an_answer_reach_the_engine_in_their_order(script: Script, qtbot: QtBot) -> None:
    client, steered = SpeculationClient(), []
    client.set_address(script.address)
    client.steered.connect(lambda: steered.append(len(script.ended)))
    for lookahead in (3, 5, 7):
        client.steer("chatcmpl-1", {"lookahead": lookahead})
    path = "POST /v1/speculation/settings"
    for number in (1, 2, 3):
        qtbot.waitUntil(lambda number=number: f"{path} {number}" in script.begun)
        assert len(script.begun) == number, "the next one waits for the answer to the one before"
        script.gate(f"{path} {number}").set()
    qtbot.waitUntil(lambda: steered == [1, 2, 3])
