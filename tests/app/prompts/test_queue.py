"""Prompt files in a row: each gets its request, errors do not stop it, and the table can be taken away."""

import csv
import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtNetwork import QNetworkAccessManager, QNetworkRequest
from pytestqt.qtbot import QtBot

from app.engine.client import EngineClient
from app.engine.process import EngineProcess, EngineState
from app.engine.request import Settings
from app.prompts.queue import QueueViewModel
from app.prompts.views.form import PromptForm, common_variables
from app.prompts.views.queue_table import COLUMNS, QueueTable
from app.prompts.views.queue_window import QueueWindow
from app.store import Store
from app.window.frame import MainWindow
from app.window.memory import WindowMemory
from app.window.workspace import build_window
from prompt_files import PromptFile, parse_prompt
from tests.app.stand_in import ANSWER

WAIT_MS = 20_000


def prompt(text: str, name: str = "a.prompt.md") -> PromptFile:
    return parse_prompt(text, Path("folder") / name)


@pytest.fixture
def queue(engine: EngineProcess) -> Iterator[QueueViewModel]:
    def client() -> EngineClient:
        client = EngineClient(engine)
        engine.connect_client(client)
        return client

    ready = lambda: "stand-in" if engine.state is EngineState.READY else ""  # noqa: E731
    queue = QueueViewModel(client, ready, lambda: Settings(seed=11, max_tokens=33), engine)
    engine.state_changed.connect(queue.on_engine_changed)
    yield queue
    queue.stop()


def finish(queue: QueueViewModel, qtbot: QtBot, start: Callable[[], object]) -> None:
    with qtbot.waitSignal(queue.finished, timeout=WAIT_MS):
        start()


def requests(engine: EngineProcess, qtbot: QtBot) -> list[dict[str, Any]]:
    """The chat requests that the stand-in has seen."""
    return list(told(engine, qtbot)["requests"])


def told(engine: EngineProcess, qtbot: QtBot) -> dict[str, Any]:
    """What the stand-in tells of all it was asked."""
    network, address = QNetworkAccessManager(), engine.property("address")
    request = QNetworkRequest(address.url + "/requests")
    request.setRawHeader(b"Authorization", f"Bearer {address.api_key}".encode())
    reply = network.get(request)
    with qtbot.waitSignal(reply.finished, timeout=WAIT_MS):
        pass
    return dict(json.loads(bytes(reply.readAll().data())))


def test_every_prompt_is_asked_as_its_file_says(queue: QueueViewModel, engine: EngineProcess, qtbot: QtBot) -> None:
    front = "---\ntemperature: 0.1\nsystem: Be {{how}}.\nmax_tokens: 5\nseed: 3\nlookahead: 2\ntop_p: 0.9\n---\n"
    files = [prompt(front + "Hello {{who}}"), prompt("Bye {{who}}", "b.prompt.md")]
    finish(queue, qtbot, lambda: queue.add(files, {"how": "brief", "who": "Ann"}))
    first, second = requests(engine, qtbot)
    assert [message["content"] for message in first["messages"]] == ["Be brief.", "Hello Ann"]
    told = {key: first[key] for key in ("temperature", "max_tokens", "seed", "top_p", "model")}
    assert told == {"temperature": 0.1, "max_tokens": 5, "seed": 3, "top_p": 0.9, "model": "stand-in"}
    assert first["speculation"]["lookahead"] == 2
    assert second["messages"] == [{"role": "user", "content": "Bye Ann"}], "a file stands alone"
    assert (second["seed"], second["max_tokens"]) == (11, 33), "what it leaves open is the chat's"
    assert [(item.state, item.answer) for item in queue.items] == [("done", ANSWER)] * 2
    assert not queue.is_running
    assert not queue.can_resume


def test_it_goes_on_after_errors_and_runs_the_rest_again(queue: QueueViewModel, qtbot: QtBot) -> None:
    texts = ("bad request", "Needs {{this}}", "hello", "error chunk")
    finish(queue, qtbot, lambda: queue.add([prompt(text) for text in texts], {}))
    assert [item.state for item in queue.items] == ["failed", "failed", "done", "failed"]
    assert "temperature is 9" in queue.items[0].error
    assert "needs a value for this" in queue.items[1].error
    assert (queue.num_done, queue.num_failed) == (1, 3)
    assert queue.items[3].answer, "what arrived is kept"
    before = queue.items[2].answer
    finish(queue, qtbot, queue.resume)
    assert [item.state for item in queue.items] == ["failed", "failed", "done", "failed"]
    assert queue.items[2].answer == before, "what was done is not done again"


def test_a_pair_that_is_not_served_is_asked_for_and_refused(
    queue: QueueViewModel, engine: EngineProcess, qtbot: QtBot
) -> None:
    finish(queue, qtbot, lambda: queue.add([prompt("---\npair: other\n---\nhello")], {}))
    assert requests(engine, qtbot)[0]["model"] == "other"


def test_stopped_in_the_middle(queue: QueueViewModel, qtbot: QtBot) -> None:
    queue.add([prompt("slow"), prompt("hello")], {})
    qtbot.waitUntil(lambda: bool(queue.items[0].answer), timeout=WAIT_MS)
    queue.stop()
    assert [item.state for item in queue.items] == ["stopped", "stopped"]
    assert queue.items[0].answer, "what arrived is kept"
    finish(queue, qtbot, queue.resume)
    assert [item.state for item in queue.items] == ["done", "done"]
    assert [item.answer for item in queue.items] == [ANSWER, ANSWER]


def test_an_engine_that_dies_fails_one_and_the_next_waits_for_it(
    queue: QueueViewModel, engine: EngineProcess, qtbot: QtBot
) -> None:
    queue.add([prompt("slow"), prompt("hello")], {})
    qtbot.waitUntil(lambda: bool(queue.items[0].answer), timeout=WAIT_MS)
    dead = engine.address
    with qtbot.waitSignal(queue.finished, timeout=WAIT_MS):
        os.kill(engine.pid, signal.SIGKILL)
    assert queue.items[0].state == "failed"
    assert queue.items[1].state in ("done", "failed")
    if queue.items[1].state == "failed":  # asked in the moment before the death was noticed
        qtbot.waitUntil(lambda: engine.address != dead and engine.state is EngineState.READY, timeout=WAIT_MS)
        finish(queue, qtbot, queue.resume)
    assert queue.items[1].answer == ANSWER


def test_the_window_shows_and_exports_the_table(queue: QueueViewModel, qtbot: QtBot, tmp_path: Path) -> None:
    window = QueueWindow(queue)
    qtbot.addWidget(window)
    window.show()
    assert not window.export_button.isEnabled()
    finish(queue, qtbot, lambda: queue.add([prompt("---\ntitle: A\n---\nhello"), prompt("bad request")], {}))
    model = window.table.model()
    rows = [[model.index(row, column).data() for column in range(len(COLUMNS))] for row in range(model.rowCount())]
    assert [row[0] for row in rows] == ["A", "A"], "the second is named by its file, a.prompt.md"
    assert rows[0][1:3] == ["✓  Done", "64"]
    assert rows[1][1] == "✕  Failed"
    assert window.status.text() == "1 of 2 done · 1 failed"
    assert window.answer.toPlainText() == ANSWER
    window.table.selectRow(1)
    assert "temperature is 9" in window.answer.toPlainText()
    assert window.run_button.text() == "Run the Rest"
    assert window.export_to(tmp_path / "r.csv", "csv")
    told = list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text(encoding="utf-8-sig"))))
    assert [row["state"] for row in told] == ["done", "failed"]
    assert told[0]["answer"] == ANSWER
    assert not window.export_to(tmp_path / "no" / "r.csv", "csv")
    assert "could not be written" in window.note.text()
    window.close()
    assert not window.isVisible()
    qtbot.mouseClick(window.clear_button, Qt.MouseButton.LeftButton)
    assert (queue.items, window.answer.toPlainText()) == ([], "")


def test_an_answer_that_grows_keeps_what_one_has_marked(queue: QueueViewModel, qtbot: QtBot) -> None:
    window = QueueWindow(queue)
    qtbot.addWidget(window)
    queue.add([prompt("slow")], {})
    qtbot.waitUntil(lambda: len(window.answer.toPlainText()) > 20, timeout=WAIT_MS)
    cursor = window.answer.textCursor()
    cursor.setPosition(2)
    cursor.setPosition(9, cursor.MoveMode.KeepAnchor)
    window.answer.setTextCursor(cursor)
    marked, length = cursor.selectedText(), len(window.answer.toPlainText())
    qtbot.waitUntil(lambda: len(window.answer.toPlainText()) > length, timeout=WAIT_MS)
    assert window.answer.textCursor().selectedText() == marked
    assert window.answer.toPlainText() == queue.items[0].answer


def test_several_dropped_prompts_ask_once_for_what_they_have_in_common(
    window: MainWindow, qtbot: QtBot, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"{number}.prompt.md").write_text(f"---\nvariables: [who]\n---\n{number} {{{{who}}}}")
    window.prompts.attachments.add_paths(sorted(tmp_path.glob("*.prompt.md")))
    qtbot.waitUntil(lambda: isinstance(window.prompts.dialog, PromptForm), timeout=WAIT_MS)
    form = window.prompts.dialog
    assert list(form.fields) == ["who"]
    assert form.run_button.text() == "Run 3 prompts"
    form.fill({"who": "Ann"})
    finish(window.prompts.queue, qtbot, lambda: qtbot.mouseClick(form.run_button, Qt.MouseButton.LeftButton))
    assert window.prompts.queue_window.isVisible()
    assert [item.state for item in window.prompts.queue.items] == ["done"] * 3
    assert window.chat.conversation.turns == [], "the chat is left alone"


def test_a_form_runs_beside_an_answer_that_is_under_way(window: MainWindow, qtbot: QtBot) -> None:
    window.ask("slow")
    (under_way,) = window.chat.conversation.turns
    window.prompts.open_form([prompt("hello {{who}}")])
    form = window.prompts.dialog
    form.fill({"who": "Ann"})
    with qtbot.waitSignal(window.chat.answer_closed, timeout=WAIT_MS):
        qtbot.mouseClick(form.run_button, Qt.MouseButton.LeftButton)
    assert window.chat.conversation.turns[0].question == "hello Ann"
    qtbot.waitUntil(lambda: under_way.answer.state == "finished", timeout=WAIT_MS)
    assert under_way.answer.text == ANSWER


def test_a_form_waits_for_the_engine(window: MainWindow, qtbot: QtBot) -> None:
    window.engine.stop()
    window.prompts.open_form([prompt("hello {{who}}")])
    form = window.prompts.dialog
    form.fill({"who": "Ann"})
    qtbot.mouseClick(form.run_button, Qt.MouseButton.LeftButton)
    assert form.isVisible()
    assert "not ready yet" in form._remark.text()
    assert form.values() == {"who": "Ann"}


@pytest.mark.parametrize("width", [1, 3])
def test_as_many_run_at_once_as_the_engine_answers(
    queue: QueueViewModel, engine: EngineProcess, qtbot: QtBot, width: int
) -> None:
    queue.set_width(width)
    texts = ("slow", "slow", "bad request", "slow", "hello")
    finish(queue, qtbot, lambda: queue.add([prompt(text, f"{i}.prompt.md") for i, text in enumerate(texts)], {}))
    assert [item.state for item in queue.items] == ["done", "done", "failed", "done", "done"]
    assert [row.file for row in queue.results()] == [f"folder/{i}.prompt.md" for i in range(5)], "the files' order"
    assert all(item.answer == ANSWER for item in queue.items if item.state == "done")
    assert told(engine, qtbot)["most_at_once"] == width
    assert queue.own_requests() == []


def test_one_of_several_can_be_stopped_alone(queue: QueueViewModel, qtbot: QtBot) -> None:
    queue.set_width(2)
    queue.add([prompt("slow", "one.prompt.md"), prompt("slow", "two.prompt.md")], {})
    qtbot.waitUntil(lambda: all(one.id for one in queue.own_requests()), timeout=WAIT_MS)
    first, second = queue.own_requests()
    assert first.id != second.id
    first.stop()
    with qtbot.waitSignal(queue.finished, timeout=WAIT_MS):
        pass
    assert [item.state for item in queue.items] == ["stopped", "done"]


def test_the_window_learns_how_many_run_at_once(make_engine, qtbot: QtBot, tmp_path: Path) -> None:
    window = build_window(make_engine("--max-batch", "4"), WindowMemory(tmp_path / "w.ini"), Store(None))
    qtbot.addWidget(window)
    window.engine.start()
    qtbot.waitUntil(lambda: window.prompts.queue.width == 4, timeout=WAIT_MS)
    window.close()


def test_the_variables_of_several_prompts_are_one_list() -> None:
    files = [prompt("{{a}} {{b}}"), prompt("{{b}} {{c}}")]
    assert [variable.name for variable in common_variables(files)] == ["a", "b", "c"]


def test_the_model_of_the_table_follows_the_queue(queue: QueueViewModel, qtbot: QtBot) -> None:
    table = QueueTable(queue)
    assert table.rowCount() == 0
    with qtbot.waitSignal(table.modelReset, timeout=WAIT_MS):
        queue.add([prompt("hello")], {})
    assert table.rowCount() == 1
    assert table.headerData(1, Qt.Orientation.Horizontal) == "State"
