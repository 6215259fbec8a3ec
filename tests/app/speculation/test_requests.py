"""The page of requests: whose rows are in the newest step, who waits, and who can stop whom."""

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QScrollArea
from pytestqt.qtbot import QtBot

from app.engine.pages.batch.client import BatchClient
from app.engine.pages.batch.records import Batch, Blocks, OwnRequest, Rows, RunningRequest, WaitingRequest
from app.look.theme import DARK, LIGHT
from app.speculation import RequestsViewModel, TraceViewModel
from app.speculation.views import RequestsPage, TracePanel
from app.speculation.views.charts.step_rows import StepRows, row_words
from app.store import Store
from app.window.frame import MainWindow
from app.window.memory import WindowMemory
from app.window.workspace import build_window
from tests.app.conftest import EngineFactory

WAIT_MS = 10_000
WRITING = RunningRequest("a", "k", "writing", "normal", 31, 31, 128, Rows(plain=1, accepted=3, rejected=1), 9)
READING = RunningRequest("b", None, "reading", "high", 900, 512, 0, Rows(read=64), 1)
BATCH = Batch("fcfs", 8, (WRITING, READING), (WaitingRequest("c", None, "low", 0, 1200),), Blocks(64, 10), 21.54)


class Page:
    """The page in a panel, told of batches by hand."""

    def __init__(self, qtbot: QtBot) -> None:
        self.own: list[OwnRequest] = []
        self.stopped: list[str] = []
        self.client = BatchClient()
        self.requests = RequestsViewModel(self.client, lambda: self.own)
        self.panel = TracePanel(TraceViewModel(), LIGHT)
        qtbot.addWidget(self.panel)
        self.view = RequestsPage(self.requests, LIGHT)
        self.panel.add_page("Requests", self.view)
        self.panel.show()
        self.panel.switch.choose(3)

    def tell(self, batch: Batch | None) -> None:
        self.client.told.emit(batch)

    def owns(self, request_id: str, title: str) -> None:
        self.own.append(OwnRequest(request_id, title, lambda: self.stopped.append(request_id)))

    def told(self) -> list[tuple[str, str]]:
        return [(line.title.toolTip(), line.words.toolTip()) for line in self.view.lines.values()]


@pytest.fixture
def page(qtbot: QtBot) -> Page:
    return Page(qtbot)


def test_each_request_is_told_by_its_title_or_its_id(page: Page) -> None:
    page.owns("a", "Rivers in Europe")
    page.tell(BATCH)
    assert page.told() == [
        ("Rivers in Europe", "Writing, 128 tokens · 9 blocks"),
        ("b", "Reading 512 of 900 tokens · 1 block · high priority"),
        ("c", "Next · 1,200 tokens to read · low priority"),
    ]
    assert page.view.figures() == {"speed": "21.5", "answers": "2 of 8", "blocks": "10 of 64"}
    assert page.view.lines["a"].rows.toolTip() == "1 plain, 3 accepted, 1 rejected"
    assert page.view.lines["a"].rows.accessibleDescription() == "1 plain, 3 accepted, 1 rejected"
    assert not page.view.lines["c"].rows.isVisible(), "who waits has no rows"
    assert not page.view.note.isVisible()


def test_own_requests_alone_can_be_stopped(page: Page, qtbot: QtBot) -> None:
    page.owns("a", "Rivers in Europe")
    page.owns("c", "Lakes")
    page.tell(BATCH)
    assert {name: line.stop.isVisible() for name, line in page.view.lines.items()} == {"a": True, "b": False, "c": True}
    assert page.view.lines["a"].stop.accessibleName() == "Stop Rivers in Europe"
    qtbot.mouseClick(page.view.lines["c"].stop, Qt.MouseButton.LeftButton)
    assert page.stopped == ["c"]
    page.requests.stop("b")
    assert page.stopped == ["c"], "somebody else's"


def test_lines_stay_while_their_requests_do(page: Page) -> None:
    page.tell(BATCH)
    line, reading = page.view.lines["a"], page.view.lines["b"]
    waiting = RunningRequest("c", None, "reading", prompt_tokens=1200)
    page.tell(replace(BATCH, running=(waiting, replace(WRITING, written_tokens=131)), waiting=()))
    assert list(page.view.lines) == ["a", "c"]
    assert page.view.lines["a"] is line
    assert line.words.toolTip() == "Writing, 131 tokens · 9 blocks"
    assert not reading.isVisible()
    page.panel.layout().activate()
    assert page.view._lines.indexOf(page.view.lines["c"]) == 0, "in the engine's order"
    assert page.view._waiting_lines.count() == 0
    assert not page.view._waiting.isVisible()


@pytest.mark.parametrize(("batch", "sentence"), [
    (Batch(), "Nobody asks the engine anything now."), (None, "This engine does not tell what it does for whom."),
])  # fmt: skip
def test_where_there_is_nothing_one_sentence_says_why(page: Page, batch: Batch | None, sentence: str) -> None:
    page.tell(BATCH)
    page.tell(batch)
    assert page.view.note.isVisible()
    assert page.view.note.text() == sentence
    assert page.view.lines == {}
    assert page.view._head.isVisible() == (batch is not None)
    page.requests.forget()
    assert page.view.note.text() == "The engine has not told yet what it does."


def test_long_titles_and_small_windows_cut_nothing(page: Page, qtbot: QtBot) -> None:
    title = "A question about the rivers, lakes and seas of Europe, Asia and both of the Americas"
    page.owns("a", title)
    page.tell(BATCH)
    page.panel.resize(page.panel.width(), 240)
    line, scroll = page.view.lines["a"], page.view.parent().parent().parent()
    assert isinstance(scroll, QScrollArea)
    qtbot.waitUntil(lambda: line.title.text().endswith("…"), timeout=WAIT_MS)
    assert line.title.toolTip() == title
    assert line.stop.mapTo(page.panel, line.stop.rect().topRight()).x() < page.panel.width()
    assert scroll.verticalScrollBar().maximum() > 0
    assert scroll.horizontalScrollBar().maximum() == 0


def test_it_asks_while_it_is_in_front(page: Page) -> None:
    assert page.client._timer.isActive()
    page.panel.switch.choose(0)
    assert not page.client._timer.isActive()
    page.panel.switch.choose(3)
    page.panel.hide()
    assert not page.client._timer.isActive()


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_a_cell_for_each_row_and_a_share_for_each_kind_where_they_are_many(palette, qtbot: QtBot) -> None:
    chart = StepRows(palette)
    qtbot.addWidget(chart)
    chart.resize(240, chart.height())

    def width_of(colour: str) -> int:
        image: QImage = chart.grab().toImage()
        return sum(image.pixelColor(x, image.height() // 2).name().upper() == colour for x in range(image.width()))

    chart.show_rows(Rows(plain=1, accepted=3))
    assert width_of(palette.accepted) == 3 * width_of(palette.plain) > 0
    chart.show_rows(Rows(accepted=1, plain=600))
    assert width_of(palette.plain) > 200
    assert width_of(palette.accepted) >= 3, "one among many is still seen"
    assert row_words(Rows()) == "not in the newest step"


def test_the_window_names_its_chats_there_and_stops_them(
    make_engine: EngineFactory, qtbot: QtBot, tmp_path: Path
) -> None:
    window: MainWindow = build_window(make_engine("--max-batch", "4"), WindowMemory(tmp_path / "w.ini"), Store(None))
    qtbot.addWidget(window)
    window.resize(1300, 800)
    window.show()
    window.bar.panel.setChecked(True)
    window.engine.start()
    qtbot.waitUntil(lambda: window.chat.is_ready, timeout=WAIT_MS)
    window.panel.switch.choose(3)
    window.ask("slow")
    first = window.chat.chat.id
    window.chat.start_over()
    window.ask("long wait")
    page = window.requests.page
    titles = {"slow", "long wait"}  # in the order in which they came to the engine
    qtbot.waitUntil(lambda: {one.title for one in window.requests.requests.running} == titles, timeout=WAIT_MS)
    assert window.sidebar.marks() == {"slow": "answering", "long wait": "answering"}
    line = next(one for one in page.lines.values() if one.title.toolTip() == "slow")
    qtbot.mouseClick(line.stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.sidebar.marks() == {"long wait": "answering"}, timeout=WAIT_MS)
    assert window.chat.is_busy
    window.chat.open_chat(first)
    assert window.chat.conversation.turns[-1].answer.state == "stopped"
    qtbot.waitUntil(lambda: window.sidebar.marks() == {"long wait": "unread"}, timeout=20_000)
    items = [window.sidebar.list.item(row) for row in range(window.sidebar.list.count())]
    told = [item.data(Qt.ItemDataRole.AccessibleTextRole) for item in items]
    assert "long wait, answered, not yet read" in told
    window.close()
