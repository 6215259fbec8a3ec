"""The parts around a conversation, as a person uses them: chats, commands, find, settings, files, a second window."""

import json
from pathlib import Path

import psutil
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from app.chat.views.answer.reasoning import ReasoningView
from app.chat.views.settings import ChatSettings
from app.engine.network import EngineAddress
from app.engine.process import EngineState
from app.engine.request import Settings
from app.look.theme import DARK, LIGHT, LIGHT_HIGH
from app.window.command_list import CommandList
from app.window.frame import MainWindow
from app.window.preferences import Preferences
from tests.app.stand_in import ANSWER
from tests.app.window.test_frame import ask


@pytest.fixture(autouse=True)
def _usual_size(window: MainWindow):
    yield
    window.theme.set_scale(1.0)


def preferences(window: MainWindow) -> Preferences:
    return Preferences(window.theme, window.memory, window.engine, window.models.loaded, window)


class TestSidebar:
    def test_a_chat_is_found_by_a_word_of_its_answer_and_opened(self, window: MainWindow, qtbot: QtBot) -> None:
        ask(window, qtbot, "first question")
        window.chat.start_over()
        ask(window, qtbot, "other matter")
        assert window.sidebar.titles() == ["Today", "other matter", "first question"]
        window.sidebar.search.setText("question")
        qtbot.waitUntil(lambda: window.sidebar.titles() == ["1 chat found", "first question"], timeout=5_000)
        window.sidebar.list.setCurrentRow(1)
        assert window.chat.title == "first question"
        window.sidebar.search.setText("nowhere said")
        qtbot.waitUntil(lambda: not window.sidebar._empty.isHidden(), timeout=5_000)
        assert window.sidebar._empty.text() == "Nothing found."

    def test_a_deleted_chat_comes_back(self, window: MainWindow, qtbot: QtBot) -> None:
        ask(window, qtbot)
        qtbot.keyClick(window.sidebar.list, Qt.Key.Key_Delete)
        assert window.sidebar.titles() == []
        assert window.chat.conversation.is_empty, "the open chat is the one that went"
        assert window.sidebar._undo_text.text() == "Chat deleted"
        qtbot.mouseClick(window.sidebar._undo, Qt.MouseButton.LeftButton)
        assert window.sidebar.titles() == ["Today", "hello"]
        assert not window.sidebar._undo_bar.isVisible()

    def test_a_title_is_edited_in_its_place(self, window: MainWindow, qtbot: QtBot) -> None:
        ask(window, qtbot)
        window.sidebar.list.item(1).setText("  Another   name ")
        assert window.chat.title == "Another name"
        assert window.windowTitle().startswith("Another name")
        window.sidebar.list.item(1).setText("  ")
        assert window.sidebar.titles()[1] == "Another name", "an empty name changes nothing"


class TestCommands:
    def test_words_in_any_order_find_an_entry_and_enter_runs_it(self, window: MainWindow, qtbot: QtBot) -> None:
        before = window.bar.panel.isChecked()
        commands = CommandList(window.menus.commands(), window.theme.palette, window)
        qtbot.addWidget(commands)
        qtbot.keyClicks(commands.field, "panel look")
        assert commands.names() == ["View: Show Lookahead Panel"]
        qtbot.keyClick(commands.field, Qt.Key.Key_Return)
        assert window.bar.panel.isChecked() is not before

    def test_what_cannot_be_done_is_not_offered(self, window: MainWindow, qtbot: QtBot) -> None:
        commands = CommandList(window.menus.commands(), window.theme.palette, window)
        qtbot.addWidget(commands)
        assert not any("Copy Answer" in name for name in commands.names())
        qtbot.keyClicks(commands.field, "no such thing")
        assert commands.names() == []
        qtbot.keyClick(commands.field, Qt.Key.Key_Return)

    def test_arrows_move_the_mark(self, window: MainWindow, qtbot: QtBot) -> None:
        commands = CommandList(window.menus.commands(), window.theme.palette, window)
        qtbot.addWidget(commands)
        for _ in range(3):
            qtbot.keyClick(commands.field, Qt.Key.Key_Down)
        qtbot.keyClick(commands.field, Qt.Key.Key_Up)
        assert commands.list.currentRow() == 2


def test_find_counts_marks_and_goes_round(window: MainWindow, qtbot: QtBot) -> None:
    for text in ("one apple", "two", "three apple"):
        ask(window, qtbot, text)
    window.menus.action("find").trigger()
    bar = window.find_bar
    qtbot.keyClicks(bar.field, "APPLE")
    assert bar.count_text == "– of 2"
    for expected in ("1 of 2", "2 of 2", "1 of 2"):
        qtbot.keyClick(bar.field, Qt.Key.Key_Return)
        assert bar.count_text == expected
    bar.field.setText("speculative")
    qtbot.keyClick(bar.field, Qt.Key.Key_Return)
    texts = window.chat_view.answers[0]._markdown._segments
    assert texts[0].extraSelections()[0].cursor.selectedText().casefold() == "speculative"
    qtbot.keyClick(bar.field, Qt.Key.Key_Escape)
    assert not bar.isVisible()
    assert texts[0].extraSelections() == []
    bar.begin("xyzzy")
    assert bar.count_text == "Not found"


class TestPreferences:
    def test_appearance_acts_at_once_and_is_kept(self, window: MainWindow, qtbot: QtBot) -> None:
        dialog = preferences(window)
        dialog.contrast.setChecked(True)
        assert window.theme.palette is LIGHT_HIGH
        assert window.memory.high_contrast is True
        dialog.contrast.setChecked(False)
        assert window.theme.palette is LIGHT
        dialog.appearance.setCurrentIndex(dialog.appearance.findData("dark"))
        assert window.theme.palette is DARK  # what is kept is overruled by the tests' own LOOKAHEAD_THEME
        dialog.appearance.setCurrentIndex(dialog.appearance.findData("light"))

    def test_what_was_read_is_kept_on_disk_unless_somebody_says_otherwise(
        self, window: MainWindow, qtbot: QtBot
    ) -> None:
        dialog, address = preferences(window), window.engine.address
        assert dialog.keeping.isChecked()
        dialog.accept()
        assert window.engine.address is address, "nothing changed, so nothing starts again"
        dialog = preferences(window)
        dialog.keeping.setChecked(False)
        assert window.engine.address is address, "not before the window is accepted"
        dialog.accept()
        qtbot.waitUntil(lambda: window.engine.state is EngineState.READY, timeout=10_000)
        assert psutil.Process(window.engine.pid).cmdline()[-2:] == ["--prefix-disk", "0"]
        assert not preferences(window).keeping.isChecked()
        dialog = preferences(window)
        dialog.remote.setChecked(True)
        assert not dialog.keeping.isEnabled(), "an engine on another computer has options of its own"

    @pytest.mark.parametrize("written", ["", "ftp://mac:80", "http://mac:99999", "mac:8080/v1", "a b"])
    def test_a_bad_address_is_told_and_changes_nothing(self, window: MainWindow, written: str) -> None:
        dialog = preferences(window)
        dialog.remote.setChecked(True)
        dialog.url.setText(written)
        dialog.accept()
        assert not dialog.wrong.isHidden()
        assert dialog.wrong.text()
        assert window.memory.remote_url == ""
        assert window.engine.remote is None


class TestRemoteEngine:
    @pytest.fixture
    def remote(self, window: MainWindow, make_engine, qtbot: QtBot) -> EngineAddress:
        """Another engine, which the window did not start."""
        engine = make_engine()
        engine.start()
        qtbot.waitUntil(lambda: engine.state is EngineState.READY, timeout=10_000)
        return engine.address

    def use(self, window: MainWindow, address: EngineAddress, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.window.preferences.keep_token", lambda *_: True)
        dialog = preferences(window)
        dialog.remote.setChecked(True)
        dialog.url.setText(address.url)
        dialog.token.setText(address.api_key)
        dialog.accept()

    def test_it_answers(
        self, window: MainWindow, qtbot: QtBot, remote: EngineAddress, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.use(window, remote, monkeypatch)
        qtbot.waitUntil(lambda: window.chat.is_ready, timeout=10_000)
        assert window.engine.pid is None, "the engine of this computer has ended"
        ask(window, qtbot)
        assert window.chat.conversation.turns[0].answer.text == ANSWER

    def test_a_wrong_token_is_told(
        self, window: MainWindow, qtbot: QtBot, remote: EngineAddress, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.use(window, EngineAddress(remote.url, "wrong"), monkeypatch)
        qtbot.waitUntil(lambda: window.banner.isVisible(), timeout=10_000)
        assert window.banner.problem.title == "The engine refused the connection."
        assert "token" in window.banner.problem.advice

    def test_an_engine_that_is_not_there_is_told(
        self, window: MainWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.engine.process.REACH_MS", 100)
        self.use(window, EngineAddress("http://127.0.0.1:9", "x"), monkeypatch)
        qtbot.waitUntil(lambda: window.banner.isVisible(), timeout=10_000)
        assert "http://127.0.0.1:9" in window.banner.problem.title
        assert not window.composer.button.isEnabled()


def test_chat_settings_and_presets(window: MainWindow, qtbot: QtBot) -> None:
    dialog = ChatSettings(Settings(drafter="ngram", seed=5), window.chat.store.presets, LIGHT, window)
    dialog.system.setPlainText("  Be brief. ")
    dialog.top_k.setValue(40)
    dialog.save_preset("Brief")
    assert dialog.settings == Settings(drafter="ngram", seed=5, system="Be brief.", top_k=40)
    dialog.show_settings(Settings(seed=6))
    dialog.preset.setCurrentText("Brief")
    dialog.preset.activated.emit(dialog.preset.currentIndex())
    assert (dialog.settings.system, dialog.settings.top_k, dialog.settings.seed) == ("Be brief.", 40, 6)


def test_reasoning_is_folded_until_one_opens_it(qtbot: QtBot) -> None:
    view = ReasoningView(LIGHT)
    qtbot.addWidget(view)
    view.show_reasoning("I think so", is_thinking=True)
    assert view.fold.text() == "▸  Thinking… 3 words"
    assert view.shown_text == ""
    qtbot.mouseClick(view.fold, Qt.MouseButton.LeftButton)
    assert view.shown_text == "I think so"
    view.show_reasoning("I think so, yes", is_thinking=False)
    assert view.shown_text == "I think so, yes", "what comes later is added"
    assert view.fold.text() == "▾  Reasoning, 4 words"


class TestFiles:
    def choose(self, monkeypatch: pytest.MonkeyPatch, path: Path, form: str = "JSON (*.json)") -> None:
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), form))
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), form))

    def test_what_was_exported_is_imported(
        self, window: MainWindow, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ask(window, qtbot)
        self.choose(monkeypatch, tmp_path / "chat")  # the form gives the name its end
        window.menus.action("export").trigger()
        assert json.loads((tmp_path / "chat.json").read_text("utf-8"))["chats"][0]["title"] == "hello"
        self.choose(monkeypatch, tmp_path / "chat.json")
        window.menus.action("import").trigger()
        assert window.sidebar.titles() == ["Today", "hello", "hello"]
        assert window.chat.conversation.turns[0].answer.text == ANSWER

    @pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b'{"lookahead_chats": 99, "chats": []}'])
    def test_a_file_that_cannot_be_read_is_told(self, window: MainWindow, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "bad.json").write_bytes(content)
        window.commands.files.read(tmp_path / "bad.json")
        assert window.banner.problem.title == "“bad.json” could not be imported."
        assert window.banner.problem.advice or window.banner.problem.details
        assert window.sidebar.titles() == []

    def test_a_place_that_cannot_be_written_is_told(self, window: MainWindow, qtbot: QtBot, tmp_path: Path) -> None:
        ask(window, qtbot)
        window.commands.files.write(tmp_path / "missing" / "chat.md", ())
        assert "could not be exported" in window.banner.problem.title

    def test_the_printed_chat_has_every_word(self, window: MainWindow, qtbot: QtBot) -> None:
        ask(window, qtbot)
        text = window.commands.files.document().toPlainText()
        assert text.startswith("hello\nYou\nhello\nstand-in\nSpeculative decoding")
        assert "passes" in text
