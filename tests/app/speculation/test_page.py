"""What the panel promises its pages: told when they are in front, silent otherwise, and found by their titles."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QPushButton, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app.look.theme import DARK, LIGHT, Palette
from app.look.typography import scale, set_scale, widened
from app.speculation import TraceViewModel
from app.speculation.views import Page, TracePanel
from app.speculation.views.panel import WIDTH_PX
from app.store import Answer
from tests.app.speculation.rounds import make_round


class Diary(Page):
    """Writes down what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def apply_palette(self, palette: Palette) -> None:
        self.told.append(palette.name)

    def refresh(self) -> None:
        self.told.append("refresh")

    def point(self) -> None:
        self.told.append("point")


def shown_panel(qtbot: QtBot) -> tuple[TracePanel, TraceViewModel]:
    trace = TraceViewModel()
    panel = TracePanel(trace, LIGHT)
    qtbot.addWidget(panel)
    panel.show()
    return panel, trace


def answer() -> Answer:
    return Answer(seed=1, rounds=[make_round(index, 1, 3) for index in range(4)], state="finished")


def test_a_page_hears_of_the_trace_while_it_is_in_front(qtbot: QtBot) -> None:
    panel, trace = shown_panel(qtbot)
    page = Diary()
    panel.add_page("Diary", page)
    trace.show(answer())
    trace.point(2)
    assert page.told == [], "another page is in front"
    panel.switch.choose(3)
    trace.point(1)
    trace.end()
    assert page.told == ["refresh", "point", "refresh"]
    panel.apply_palette(DARK)
    assert page.told[3:] == [DARK.name, "refresh"]
    panel.hide()
    trace.point(3)
    trace.end()
    assert len(page.told) == 5, "nobody sees it"
    panel.show()
    assert page.told[5:] == ["refresh"], "it catches up"
    panel.switch.choose(0)
    panel.apply_palette(LIGHT)
    assert page.told[6:] == [LIGHT.name], "colours reach every page"


def test_only_a_page_of_rounds_gives_way_to_the_hint(qtbot: QtBot) -> None:
    panel, trace = shown_panel(qtbot)
    of_rounds, of_requests = Diary(), Diary()
    of_requests.needs_rounds = False
    panel.add_page("Diary", of_rounds)
    panel.add_page("Requests", of_requests)
    panel.switch.choose(3)
    assert (of_rounds.isVisible(), panel._hint.isVisible()) == (False, True)
    panel.switch.choose(4)
    assert (of_requests.isVisible(), panel._hint.isVisible()) == (True, False)
    trace.show(answer())
    panel.switch.choose(3)
    assert (of_rounds.isVisible(), panel._hint.isVisible()) == (True, False)
    assert not of_requests.isVisible(), "by which a page knows that it is not in front"


def test_a_page_that_comes_late_takes_its_place_in_the_tab_order(qtbot: QtBot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    column = QVBoxLayout(window)
    panel = TracePanel(TraceViewModel(), LIGHT)
    column.addWidget(panel)
    column.addWidget(QPushButton("behind"))
    window.show()
    panel.add_page("Diary", Diary())
    *_, last, new = panel.switch.buttons
    assert last.nextInFocusChain() is new
    assert new.focusPolicy() & Qt.FocusPolicy.TabFocus
    assert [button.text() for button in panel.switch.buttons] == ["Rounds", "Speed", "Control", "Diary"]
    assert (panel.switch.index, new.accessibleName()) == (0, "Panel: Diary")


def test_the_panel_grows_where_its_titles_ask_for_it(qtbot: QtBot) -> None:
    panel, _ = shown_panel(qtbot)
    assert panel.width() == widened(WIDTH_PX)
    usual = scale()
    try:
        for factor in (usual, 1.5):
            set_scale(factor)
            panel.apply_palette(LIGHT)
            panel.add_page("Requests of everybody who asks this engine", Diary())
            QApplication.processEvents()
            assert panel.width() > widened(WIDTH_PX)
            assert panel.switch.width() >= panel.switch.sizeHint().width()
            assert panel.export.geometry().right() < panel.width()
    finally:
        set_scale(usual)
