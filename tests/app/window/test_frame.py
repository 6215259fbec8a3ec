"""The whole window against the scripted engine, as a person uses it."""

import os
import signal
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QGuiApplication
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)
from pytestqt.qtbot import QtBot

from app.chat.views.answer.view import TOKENS
from app.engine.process import EngineState
from app.look.theme import DARK
from app.window.frame import MainWindow
from app.window.memory import WindowMemory
from tests.app.stand_in import ANSWER

CONTROLS = (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QTextEdit, QPlainTextEdit)


def ask(window: MainWindow, qtbot: QtBot, text: str = "hello") -> None:
    """Type and press Enter; returns when the answer is closed."""
    window.composer.set_text(text)
    with qtbot.waitSignal(window.chat.answer_closed, timeout=10_000):
        qtbot.keyClick(window.composer.field, Qt.Key.Key_Return)


def test_enter_sends_and_shift_enter_breaks_the_line(window: MainWindow, qtbot: QtBot) -> None:
    field = window.composer.field
    assert not window.composer.button.isEnabled(), "nothing to send"
    qtbot.keyClick(field, Qt.Key.Key_Return)
    qtbot.keyClicks(field, "one")
    qtbot.keyClick(field, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClicks(field, "two")
    assert window.chat.conversation.turns == []
    assert window.composer.text == "one\ntwo"
    assert window.composer.button.isEnabled()
    ask(window, qtbot, "hello")
    assert window.composer.text == ""
    assert window.chat.conversation.turns[0].answer.text == ANSWER


def test_nothing_is_sent_while_the_engine_starts(make_engine, qtbot: QtBot, tmp_path: Path) -> None:
    from app.window.workspace import build_window

    window = build_window(make_engine(), WindowMemory(tmp_path / "w.ini"))
    qtbot.addWidget(window)
    window.composer.set_text("hello")
    qtbot.keyClick(window.composer.field, Qt.Key.Key_Return)
    assert not window.composer.button.isEnabled()
    assert window.composer.text == "hello", "the text is kept"
    assert window.chat.conversation.turns == []


def test_escape_stops(window: MainWindow, qtbot: QtBot) -> None:
    window.composer.set_text("slow")
    qtbot.keyClick(window.composer.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: bool(window.chat.conversation.turns[0].answer.text), timeout=5_000)
    assert window.composer.button.accessibleName().startswith("Stop")
    with qtbot.waitActive(window):  # a shortcut reaches the active window only
        window.activateWindow()
    qtbot.keyClick(window.composer.field, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: window.chat.conversation.turns[0].answer.state == "stopped", timeout=2_000)
    assert window.composer.button.accessibleName().startswith("Send")


def test_figures_and_panel(window: MainWindow, qtbot: QtBot) -> None:
    window.resize(1300, 800)
    window.bar.panel.setChecked(True)
    assert window.footer.figures()["rate"] == "–"
    ask(window, qtbot)
    qtbot.waitUntil(lambda: "–" not in window.footer.figures().values(), timeout=2_000)
    window.panel.switch.choose(1)
    qtbot.waitUntil(lambda: window.panel.speed.verdict.text() == "1.42×", timeout=2_000)
    window.resize(700, 600)
    assert not window.panel.isVisible(), "a narrow window leaves the room to the text"


def test_the_footer_says_parked_and_lossy_in_words(window: MainWindow, qtbot: QtBot) -> None:
    window.resize(1200, 800)
    ask(window, qtbot)
    assert window.footer.remarks() == []
    ask(window, qtbot, "park")
    assert window.footer.remarks() == ["parked: plain decoding is faster here"]
    window.resize(700, 600)
    assert window.footer.remarks() == ["parked"]
    ask(window, qtbot, "lossy")
    assert window.footer.remarks() == ["lossy"]
    window.bar.new_chosen.emit()
    assert window.footer.remarks() == []


def test_what_was_read_of_a_prompt_is_told_where_the_rest_was_known(window: MainWindow, qtbot: QtBot) -> None:
    window.resize(1300, 800)
    window.bar.panel.setChecked(True)
    window.panel.switch.choose(1)
    ask(window, qtbot)
    assert window.footer.remarks() == []
    assert "read" not in window.panel.speed.figures()
    ask(window, qtbot, "known prompt")
    assert window.footer.remarks() == ["read 43 of 2,051 tokens"]
    assert "the chat so far, was still in memory: 2,008 tokens" in window.footer._reading.toolTip()
    qtbot.waitUntil(lambda: window.panel.speed.figures().get("read") == "43 of 2,051", timeout=2_000)
    window.resize(520, 600)
    assert window.footer.remarks() == [], "the figures come first"
    assert "read 43 of 2,051 tokens" in window.footer._figures["rate"].toolTip()
    window.resize(1300, 800)
    assert window.footer.remarks() == ["read 43 of 2,051 tokens"]


def test_a_chat_opened_again_tells_it_too(window: MainWindow, qtbot: QtBot) -> None:
    window.resize(1300, 800)
    ask(window, qtbot, "known prompt")
    chat = window.chat.chat
    window.chat.start_over()
    assert window.footer.remarks() == []
    assert window.chat.open_chat(chat.id)
    assert window.footer.remarks() == ["read 43 of 2,051 tokens"]


def test_the_tokens_are_the_answer_with_ghosts(window: MainWindow, qtbot: QtBot) -> None:
    ask(window, qtbot)
    window.toggle_tokens()
    answer = window.chat_view.answers[-1]
    assert answer.switch.index == TOKENS
    assert answer.tokens is not None
    text = answer.tokens.toPlainText()
    num_rejected = sum(t.state == "rejected" for one in answer.answer.rounds for t in one.drafted)
    assert num_rejected > 10
    assert text.count("guess") == num_rejected + ANSWER.count("guess")
    window.toggle_tokens()
    assert not answer._tokens_page.isVisible()


def test_the_seed_can_be_used_again(window: MainWindow, qtbot: QtBot) -> None:
    ask(window, qtbot)
    seed = window.chat.conversation.turns[0].answer.seed
    button = window.chat_view.answers[0].action_row._seed
    assert button.text() == f"Seed {seed}"
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert window.chat.settings.seed == seed
    ask(window, qtbot)
    assert window.chat.conversation.turns[1].answer.seed == seed


def test_the_toolbar_sets_the_request(window: MainWindow) -> None:
    window.bar.temperature.setValue(0)
    window.bar.lookahead.setCurrentText("Off")
    assert (window.chat.settings.temperature, window.chat.settings.drafter) == (0, "none")
    window.bar.lookahead.setCurrentText("32")
    assert (window.chat.settings.drafter, window.chat.settings.lookahead) == ("auto", 32)
    window.bar.lookahead.setCurrentText("N-gram")
    assert (window.chat.settings.drafter, window.chat.settings.lookahead) == ("ngram", "auto")
    window.bar.seed.setText("12x")
    assert window.bar.seed.hasAcceptableInput() is False
    window.bar.seed.setText("")
    assert window.chat.settings.seed is None


def test_copying(window: MainWindow, qtbot: QtBot) -> None:
    ask(window, qtbot)
    window.menus.action("copy-answer").trigger()
    assert QGuiApplication.clipboard().text() == ANSWER
    window.menus.action("copy-chat").trigger()
    assert "hello" in QGuiApplication.clipboard().text()


def test_killed_while_answering_and_asked_again(window: MainWindow, qtbot: QtBot) -> None:
    window.composer.set_text("slow")
    qtbot.keyClick(window.composer.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: bool(window.chat.conversation.turns[0].answer.text), timeout=5_000)
    os.kill(window.engine.pid, signal.SIGKILL)
    # "The connection was lost" offers to ask again too, before the engine is known to be gone.
    qtbot.waitUntil(
        lambda: window.banner.isVisible() and "running again" in window.banner.problem.title, timeout=20_000
    )
    qtbot.waitUntil(lambda: window.chat.is_ready, timeout=10_000)
    assert window.banner._action.text() == "Ask again"
    assert not window.banner._details.isVisible(), "details are folded"
    with qtbot.waitSignal(window.chat.answer_closed, timeout=20_000):
        qtbot.mouseClick(window.banner._action, Qt.MouseButton.LeftButton)
    assert not window.banner.isVisible()
    assert [turn.answer.text for turn in window.chat.conversation.turns] == [ANSWER]
    assert len(window.chat_view.answers) == 1


def test_new_chat_shows_the_welcome_again(window: MainWindow, qtbot: QtBot) -> None:
    ask(window, qtbot)
    assert not window.welcome.isVisible()
    window.bar.new_chosen.emit()
    assert window.welcome.isVisible()
    with qtbot.waitSignal(window.chat.answer_closed, timeout=10_000):
        qtbot.mouseClick(window.welcome.cards[0], Qt.MouseButton.LeftButton)
    assert window.chat.conversation.turns[0].answer.text == ANSWER


def test_dark_keeps_every_word(window: MainWindow, qtbot: QtBot) -> None:
    ask(window, qtbot)
    window.toggle_tokens()
    before = window.chat_view.answers[0].tokens.toPlainText()
    window.choose_appearance("dark")
    assert window.chat_view.answers[0]._palette is DARK
    assert window.chat_view.answers[0].tokens.toPlainText() == before
    assert DARK.window in QApplication.instance().styleSheet()


def test_the_window_remembers(window: MainWindow, tmp_path: Path) -> None:
    window.resize(777, 555)
    window.bar.panel.setChecked(False)
    window.close()
    memory = WindowMemory(tmp_path / "window.ini")
    assert memory.shows_panel is False
    restored = QWidget()
    assert memory.geometry is not None
    assert restored.restoreGeometry(memory.geometry)
    assert (restored.width(), restored.height()) == (777, 555)
    assert window.engine.state is EngineState.STOPPED


def test_every_control_has_a_name_and_tab_reaches_the_essential(window: MainWindow, qtbot: QtBot) -> None:
    ask(window, qtbot)
    for show in (lambda: None, window.toggle_tokens):
        show()
        nameless = [
            f"{type(control).__name__} {control.objectName()}"
            for kind in CONTROLS
            for control in window.findChildren(kind)
            if control.isVisible() and not (control.accessibleName() or getattr(control, "text", str)())
            and not isinstance(control.parent(), CONTROLS)
        ]  # fmt: skip
        assert nameless == []
    window.composer.set_text("x")
    with qtbot.waitActive(window):  # only an active window has a focus
        window.activateWindow()
    window.sidebar.search.setFocus()
    reached: list[str] = []
    for _ in range(40):
        focused = QApplication.focusWidget()
        assert focused is not None
        if (name := focused.accessibleName()) in reached:
            break
        reached.append(name)
        qtbot.keyClick(focused, Qt.Key.Key_Tab)
    essential = [
        "Search all chats",
        "New chat",
        "Chats",
        "Temperature",
        "Lookahead",
        "Seed",
        "Copy answer",
        "Message",
        "Send (Enter)",
    ]
    assert [name for name in essential if name not in reached] == []
    assert [name for name in reached if name in essential] == essential, "in the order one reads"


def test_every_menu_entry_has_a_role_and_no_shortcut_twice(window: MainWindow) -> None:
    shortcuts = [
        shortcut.toString()
        for action in window.findChildren(QAction)
        for shortcut in action.shortcuts()[:1]
        if shortcut
    ]
    assert len(shortcuts) == len(set(shortcuts))
    roles = {action.text(): action.menuRole() for action in window.findChildren(QAction)}
    assert roles["Quit Lookahead"] == QAction.MenuRole.QuitRole
    assert roles["About Lookahead"] == QAction.MenuRole.AboutRole


@pytest.mark.parametrize("wish", ["cut"])
def test_how_an_answer_ended_is_told(window: MainWindow, qtbot: QtBot, wish: str) -> None:
    ask(window, qtbot, wish)
    assert window.chat_view.answers[0].action_row._ending.text() == "Length limit reached"
