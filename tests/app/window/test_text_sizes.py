"""Nothing is cut: at large letters, in small windows, with long texts."""

from collections.abc import Iterator

import pytest
from PySide6.QtGui import QTextDocument
from PySide6.QtWidgets import QAbstractButton, QDialog, QLabel, QWidget
from pytestqt.qtbot import QtBot

from app.chat.views.question import QuestionView
from app.chat.views.settings import ChatSettings
from app.look.widgets.elided_label import ElidedLabel
from app.window.frame import MainWindow
from app.window.preferences import Preferences
from tests.app.window.test_frame import ask

LONG = "Explain in as much detail as you can how it works. " * 12 + "averyverylongwordwithoutanyspace" * 8


@pytest.fixture(autouse=True)
def _usual_size_again(window: MainWindow) -> Iterator[None]:
    yield
    window.theme.set_scale(1.0)


def cut(root: QWidget) -> list[str]:
    """What under `root` is smaller than its words, or lies over its neighbour or its parent's edge."""
    return [
        told for one in root.findChildren(QWidget) if one.isVisible() for told in (_squeezed(one), _beyond(one)) if told
    ]


def expect_nothing_cut(root: QWidget, qtbot: QtBot) -> None:
    """Wait for layouts to come to rest with all words whole."""

    def check() -> None:
        assert cut(root) == []

    qtbot.waitUntil(check, timeout=5_000)


def _squeezed(one: QWidget) -> str:
    if not isinstance(one, QLabel | QAbstractButton) or isinstance(one, ElidedLabel) or one.objectName() == "question":
        return ""
    if not one.text():
        return ""
    wraps = isinstance(one, QLabel) and one.wordWrap()
    wanted = one.heightForWidth(one.width()) if wraps else one.sizeHint().height()
    if (not wraps and one.width() < one.minimumSizeHint().width()) or one.height() < wanted:
        return f"{type(one).__name__} “{one.text()[:40]}” has {one.width()}×{one.height()}, wants {one.sizeHint()}"
    return ""


def _beyond(one: QWidget) -> str:
    """Of two neighbours of one row, whether the second begins before the first one's end."""
    layout = one.layout()
    if layout is None:
        return ""
    places = [layout.itemAt(index).widget() for index in range(layout.count())]
    shown = [widget for widget in places if widget is not None and widget.isVisible()]
    for index, first in enumerate(shown):
        for second in shown[index + 1 :]:
            if first.geometry().intersects(second.geometry()):
                return f"{first} lies over {second}"
    return ""


@pytest.mark.parametrize("size", [(1280, 800), (900, 600), (520, 420)], ids=["large", "900x600", "least"])
@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_nothing_is_cut(window: MainWindow, qtbot: QtBot, size: tuple[int, int], factor: float) -> None:
    window.bar.panel.setChecked(True)
    window.resize(*size)
    ask(window, qtbot, "How large are these letters?")
    window.theme.set_scale(factor)
    expect_nothing_cut(window, qtbot)
    assert window.size().width() == size[0]


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_no_dialog_is_cut(window: MainWindow, qtbot: QtBot, factor: float) -> None:
    window.theme.set_scale(factor)
    palette, presets = window.theme.palette, window.chat.store.presets
    dialogs: list[QDialog] = [
        ChatSettings(window.chat.settings, presets, palette, window),
        Preferences(window.theme, window.memory, window.engine, window.models.loaded, window),
    ]
    for dialog in dialogs:
        dialog.show()
        expect_nothing_cut(dialog, qtbot)
        dialog.close()


def test_a_cut_would_be_found(window: MainWindow, qtbot: QtBot) -> None:
    expect_nothing_cut(window, qtbot)
    labels = [label for label in window.findChildren(QLabel) if label.isVisible() and label.text()]
    next(label for label in labels if not isinstance(label, ElidedLabel)).setFixedHeight(4)
    assert len(cut(window)) >= 1


def test_large_letters_leave_the_conversation_its_share(window: MainWindow, qtbot: QtBot) -> None:
    window.resize(1280, 800)
    window.bar.panel.setChecked(True)
    window.theme.set_scale(1.5)
    qtbot.waitUntil(lambda: window.welcome.width() >= 560, timeout=5_000)
    assert window.panel.isVisible()
    window.resize(900, 600)
    qtbot.waitUntil(lambda: not window.panel.isVisible(), timeout=5_000)
    assert window.welcome.width() >= 560


def test_words_of_the_toolbar_give_way_before_its_fields(window: MainWindow, qtbot: QtBot) -> None:
    window.resize(1280, 800)
    assert "Temperature" in toolbar_words(window)
    window.resize(560, 500)
    qtbot.waitUntil(lambda: toolbar_words(window) == [], timeout=5_000)
    assert window.bar.temperature.isVisible()
    assert window.bar.lookahead.isVisible()
    window.resize(1280, 800)
    qtbot.waitUntil(lambda: "Temperature" in toolbar_words(window), timeout=5_000)


def toolbar_words(window: MainWindow) -> list[str]:
    """The names beside the fields of the toolbar."""
    return [one.text() for one in window.bar.findChildren(QLabel) if one.isVisible() and one.buddy() is not None]


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_the_bubble_of_a_question_is_as_large_as_its_words(window: MainWindow, qtbot: QtBot, factor: float) -> None:
    ask(window, qtbot, LONG)
    view = window.chat_view.questions[-1]
    for width in (1280, 700, 1100):
        window.resize(width, 600)
        window.theme.set_scale(factor)
        qtbot.waitUntil(lambda: bubble_slack(view) in range(-1, 6), timeout=5_000)


def bubble_slack(view: QuestionView) -> int:
    """By how many pixels the bubble is higher than its words at its width."""
    label = view.findChild(QLabel, "question")
    document = QTextDocument(label.text())
    document.setDocumentMargin(0)
    document.setDefaultFont(label.font())
    document.setTextWidth(label.contentsRect().width())
    return label.contentsRect().height() - int(document.size().height())
