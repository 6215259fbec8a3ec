"""How far a prompt is read, and what of it was known."""

import pytest
from PySide6.QtWidgets import QProgressBar
from pytestqt.qtbot import QtBot

from app.chat.views.answer.reading_bar import LARGEST_KNOWN_SHARE, ReadingBar
from app.engine.protocol import Prefill, Standing
from app.window.frame import MainWindow


@pytest.fixture
def bar(qtbot: QtBot) -> ReadingBar:
    bar = ReadingBar()
    qtbot.addWidget(bar)
    bar.resize(600, 60)
    return bar


def test_a_prompt_of_which_nothing_was_known(bar: ReadingBar) -> None:
    bar.show_progress(Prefill(512, 900, 830.0))
    assert bar.words == "Reading the prompt… 512 of 900 tokens"
    assert bar.progress == (512, 900)
    assert bar.known_share == 0
    assert bar.findChild(QProgressBar).width() == bar.width()
    assert bar.toolTip() == ""


def test_how_far_is_unknown(bar: ReadingBar) -> None:
    bar.show_progress(Prefill(2_030, 2_051, 450.0, cached_tokens=2_008))
    bar.show_progress(None)
    assert bar.words == "Reading the prompt…"
    assert bar.progress[1] == 0, "it only moves"
    assert (bar.known_share, bar.toolTip()) == (0, "")


def test_the_progress_runs_over_what_has_to_be_read(bar: ReadingBar) -> None:
    bar.show_progress(Prefill(2_008, 2_051, 0.0, cached_tokens=2_008))
    assert bar.words == "Reading 43 of 2,051 tokens… 2,008 known"
    assert bar.progress == (0, 43)
    bar.show_progress(Prefill(2_030, 2_051, 450.0, cached_tokens=2_008))
    assert bar.words == "Reading 43 of 2,051 tokens… 2,008 known, 22 read"
    assert bar.progress == (22, 43)


@pytest.mark.parametrize(("known", "share"), [(100, 0.1), (500, 0.5), (980, LARGEST_KNOWN_SHARE)])
def test_what_was_known_stands_before_it(bar: ReadingBar, known: int, share: float) -> None:
    bar.show_progress(Prefill(known, 1_000, 450.0, cached_tokens=known))
    assert bar.known_share == share
    bar.layout().activate()
    progress = bar.findChild(QProgressBar)
    assert progress.x() == pytest.approx(share * bar.width(), abs=4)
    assert progress.x() + progress.width() == bar.width()


def test_why_it_was_known_is_told_to_eyes_and_ears(bar: ReadingBar) -> None:
    bar.show_progress(Prefill(2_008, 2_051, 450.0, cached_tokens=2_008))
    assert "the chat so far, was still in memory: 2,008 tokens" in bar.toolTip()
    assert bar.findChild(QProgressBar).accessibleDescription() == bar.toolTip()


def test_long_numbers_ask_for_no_more_width_than_there_is(bar: ReadingBar) -> None:
    bar.show_progress(Prefill(1_012_640, 1_131_072, 45_000.0, cached_tokens=998_304))
    assert bar.minimumSizeHint().width() < 400


def test_who_waits_is_told_how_many_are_before(bar: ReadingBar) -> None:
    bar.show_progress(Prefill(2_030, 2_051, 450.0, cached_tokens=2_008))
    bar.show_standing(Standing("waiting", 3))
    assert bar.words == "Waiting, 3 ahead"
    assert not bar.findChild(QProgressBar).isVisibleTo(bar), "nothing is read yet"
    assert bar.known_share == 0
    bar.show_standing(Standing("aside"))
    assert bar.words.startswith("Set aside for others")
    bar.show_standing(Standing("on"))
    assert bar.words == "Reading the prompt…"
    assert bar.findChild(QProgressBar).isVisibleTo(bar)


def test_a_window_shows_how_its_answer_stands(window: MainWindow, qtbot: QtBot) -> None:
    window.resize(1300, 800)
    window.ask("waits")
    reading = window.chat_view.answers[-1].reading
    qtbot.waitUntil(lambda: reading.isVisible() and reading.words == "Waiting, 3 ahead", timeout=5_000)
    assert window.footer._label.toolTip() == "Waiting, 3 ahead · stand-in"
    qtbot.waitUntil(lambda: reading.isVisible() and reading.words.startswith("Set aside"), timeout=10_000)
    assert window.footer._label.toolTip() == "Set aside · stand-in"
    assert window.chat_view.answers[-1].answer.text, "in the midst of its text"
    qtbot.waitUntil(lambda: not reading.isVisible(), timeout=10_000)
    assert window.footer._label.toolTip() == "Answering · stand-in"
    qtbot.waitUntil(lambda: not window.chat.is_busy, timeout=20_000)
    assert window.footer._label.toolTip() == "Ready · stand-in"
