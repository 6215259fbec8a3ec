"""Files on their way into a question: real files, real drop events, the real engine with a tiny model."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QFileOpenEvent, QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QMessageBox, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from app.engine.process import EngineProcess
from app.prompts.views.form import PromptForm
from app.prompts.views.text_dialog import TextDialog
from app.store import Store
from app.window.application import Application
from app.window.frame import MainWindow
from app.window.memory import WindowMemory
from app.window.workspace import build_window
from tests.prompt_files.pdfs import pdf

ROOT = Path(__file__).parents[3]
START_MS = 180_000  # on a loaded machine MLX alone takes a while to import
WAIT_MS = 20_000


@pytest.fixture(scope="module")
def only_window(qapp: QApplication, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MainWindow]:
    """One window for this file, with an engine of its own."""
    here = Path.cwd()
    os.chdir(ROOT)
    memory = WindowMemory(tmp_path_factory.mktemp("memory") / "window.ini")
    command = [sys.executable, "-m", "tests.app.tiny_engine"]
    engine = EngineProcess(lambda port, pid: [*command, str(port), str(pid)])
    window = build_window(engine, memory, Store(None))
    window.show()
    window.engine.start()
    yield window
    window.close()
    os.chdir(here)


@pytest.fixture
def window(only_window: MainWindow, qtbot: QtBot) -> Iterator[MainWindow]:
    qtbot.waitUntil(lambda: only_window.chat.is_ready, timeout=START_MS)
    yield only_window
    if only_window.prompts.dialog is not None:
        only_window.prompts.dialog.close()
    only_window.chat.start_over()
    only_window.composer.set_text("")
    only_window.prompts.attachments.clear()
    only_window.banner.clear()


def urls(*paths: Path) -> QMimeData:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return data


def drop(target: QWidget, data: QMimeData) -> bool:
    """Enter and drop in the middle of `target`, as the platform would; whether it was taken."""
    actions, buttons, no_keys = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    centre = QPointF(target.rect().center())
    enter = QDragEnterEvent(centre.toPoint(), actions, data, buttons, no_keys)
    QApplication.sendEvent(target, enter)
    if not enter.isAccepted():
        return False
    event = QDropEvent(centre, actions, data, buttons, no_keys)
    QApplication.sendEvent(target, event)
    return event.isAccepted()


def settle(window: MainWindow, qtbot: QtBot) -> None:
    """Wait until everything dropped is read and counted."""
    files = window.prompts.attachments
    qtbot.waitUntil(
        lambda: not files.is_reading and all(file.num_tokens is not None for file in files.files), timeout=WAIT_MS
    )


def told(window: MainWindow) -> str:
    problem = window.banner.problem
    return "" if problem is None else f"{problem.title} {problem.advice}\n{problem.details}"


def test_twelve_kinds_of_files_in_one_drop(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> None:
    """Seven give text and become chips; five do not, are told in a sentence each, and hold nothing up."""
    contents = {
        "plain.txt": b"plain words",
        "bom.csv": "\ufeffa;b\n1;2".encode(),
        "wide.txt": "Grüße in UTF-16".encode("utf-16"),
        "latin": "Le garçon a mangé une pêche près de l'école.".encode("latin-1"),
        "sjis.txt": "これは日本語の文章です。漢字とカタカナを含みます。".encode("shift_jis"),
        "emoji.png": "👩‍👩‍👧 is text, whatever its name says".encode(),
        "paper.pdf": pdf("Words of a PDF."),
        "picture.txt": b"\x89PNG\r\n\x1a\n" + bytes(50),
        "binary.txt": bytes(range(256)) * 9,
        "empty.txt": b"",
        "vanished.txt": b"soon gone",
        "huge.log": b"",
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    os.truncate(tmp_path / "huge.log", 100 * 2**20)
    paths = [tmp_path / name for name in contents]
    (tmp_path / "vanished.txt").unlink()
    assert drop(window, urls(*paths))
    settle(window, qtbot)
    chips = window.composer.chips.chips
    assert [chip.file.name for chip in chips] == list(contents)[:7]
    assert [chip.file.text for chip in chips][2:5] == [
        "Grüße in UTF-16",
        "Le garçon a mangé une pêche près de l'école.",
        "これは日本語の文章です。漢字とカタカナを含みます。",
    ]
    assert chips[0].label.text().endswith("11 B · 11 tokens")
    assert all("token" in chip.label.accessibleName() for chip in chips)
    assert window.banner.problem.title == "5 files were left out. The other 7 were taken."
    sentences = window.banner.problem.details.splitlines()
    for sentence, words in zip(sentences, ("PNG", "binary", "is empty", "not there", "100 MB"), strict=True):
        assert words in sentence


def test_a_chip_tells_what_of_its_file_is_missing(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> None:
    contents = {
        "scan.pdf": pdf("Words.", "", ""),
        "damaged.txt": "Grüße aus Köln. ".encode() * 9 + b"\xff",
        "whole.txt": b"words",
        "letter.rtf": rb"{\rtf1\ansi Gr\'fc\'dfe\par}",
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    assert drop(window, urls(*(tmp_path / name for name in contents)))
    settle(window, qtbot)
    chips = window.composer.chips.chips
    assert "· 2 of 3 pages without text" in chips[0].label.text()
    assert "2 of 3 pages without text" in chips[0].label.accessibleName()
    assert "· 1 unreadable character" in chips[1].label.text()
    assert chips[2].label.text().endswith("5 tokens")
    assert chips[3].file.text == "Grüße\n"
    assert "RTF" in chips[3].label.toolTip()


def test_the_question_takes_its_files_along(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Alpha")
    assert drop(window.composer.field.viewport(), urls(tmp_path / "a.txt"))
    settle(window, qtbot)
    assert window.composer.text == "", "a file's path or text is not written into the field"
    assert window.composer.button.isEnabled(), "a file alone can be sent"
    window.composer.set_text("What is this?")
    with qtbot.waitSignal(window.chat.answer_closed, timeout=WAIT_MS):
        qtbot.keyClick(window.composer.field, Qt.Key.Key_Return)
    asked = window.chat.conversation.turns[0].asked
    assert [(one.name, one.text) for one in asked.attachments] == [("a.txt", "Alpha")]
    assert "Alpha" in asked.prompt
    assert asked.text == "What is this?"
    assert window.composer.chips.chips == []
    assert window.composer.text == ""


def test_several_drops_add_up_and_a_file_counts_once(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    for names in ("a", "ab", "b"):
        assert drop(window, urls(*(tmp_path / name for name in names)))
    settle(window, qtbot)
    assert [file.name for file in window.prompts.attachments.files] == ["a", "b"]


def test_a_chip_shows_its_text_and_goes(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("é".encode("latin-1"))
    drop(window, urls(tmp_path / "a.txt"))
    settle(window, qtbot)
    (chip,) = window.composer.chips.chips
    qtbot.mouseClick(chip.label, Qt.MouseButton.LeftButton)
    dialog = window.prompts.dialog
    assert isinstance(dialog, TextDialog)
    assert dialog.field.toPlainText() == "é"
    assert dialog.field.isReadOnly()
    assert "CP1252" in chip.label.toolTip()
    dialog.close()
    assert window.prompts.dialog is None
    qtbot.mouseClick(chip.close_button, Qt.MouseButton.LeftButton)
    assert window.composer.chips.chips == []
    assert not window.composer.chips.isVisible()


def test_files_can_be_pasted_and_text_that_is_dragged_is_text(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Alpha")
    QGuiApplication.clipboard().setMimeData(urls(tmp_path / "a.txt"))
    window.composer.field.paste()
    settle(window, qtbot)
    assert [file.name for file in window.prompts.attachments.files] == ["a.txt"]
    data = QMimeData()
    data.setText("only words")
    assert not drop(window, data), "the window takes files"
    assert drop(window.composer.field.viewport(), data), "the field takes words"
    assert window.composer.text == "only words"


def test_a_long_paste_becomes_an_attachment(window: MainWindow, qtbot: QtBot) -> None:
    QGuiApplication.clipboard().setText("short")
    window.composer.field.paste()
    for text in ("line\n" * 200, "word " * 40_000):
        QGuiApplication.clipboard().setText(text)
        window.composer.field.paste()
    settle(window, qtbot)
    assert window.composer.text == "short"
    files = window.prompts.attachments.files
    assert [(file.name, len(file.text)) for file in files] == [("Pasted text", 1000), ("Pasted text 2", 200_000)]


def test_a_pasted_picture_gets_a_sentence(window: MainWindow) -> None:
    data = QMimeData()
    data.setImageData(QImage(8, 8, QImage.Format.Format_RGB32))
    QGuiApplication.clipboard().setMimeData(data)
    assert window.composer.field.canPaste()
    window.composer.field.paste()
    assert window.composer.text == ""
    assert window.banner.problem is not None
    assert "Pictures" in window.banner.problem.title
    assert "text" in window.banner.problem.advice


def test_a_picture_that_comes_with_its_words_is_its_words(window: MainWindow) -> None:
    data = QMimeData()
    data.setImageData(QImage(8, 8, QImage.Format.Format_RGB32))
    data.setText("cells of a sheet")
    QGuiApplication.clipboard().setMimeData(data)
    window.composer.field.paste()
    assert window.composer.text == "cells of a sheet"
    assert window.banner.problem is None


def test_a_folder_is_asked_about_first(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.txt").write_text("b")
    (folder / "deep" / "a.txt").write_text("a")
    (folder / ".hidden").write_text("h")
    (folder / "loop").symlink_to(folder)
    drop(window, urls(folder))
    qtbot.waitUntil(lambda: window.prompts.dialog is not None, timeout=WAIT_MS)
    box = window.prompts.dialog
    assert isinstance(box, QMessageBox)
    assert "2 files in “notes”" in box.text()
    assert window.prompts.attachments.files == ()
    press(box, "Take Them", qtbot)
    settle(window, qtbot)
    assert [file.name for file in window.prompts.attachments.files] == ["b.txt", "a.txt"]


def test_an_empty_folder_is_told(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> None:
    drop(window, urls(tmp_path))
    qtbot.waitUntil(lambda: "is empty" in told(window), timeout=WAIT_MS)


def test_what_the_dock_opens_is_attached(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> None:
    app = QApplication.instance()
    assert isinstance(app, Application)
    for name in ("a.prompt.md", "b.prompt.md", "c.txt"):
        (tmp_path / name).write_text("Alpha")
        QApplication.sendEvent(app, QFileOpenEvent(str(tmp_path / name)))
    qtbot.waitUntil(lambda: window.prompts.dialog is not None, timeout=WAIT_MS)
    settle(window, qtbot)
    assert [file.name for file in window.prompts.attachments.files] == ["c.txt"]
    assert isinstance(window.prompts.dialog, PromptForm)
    assert len(window.prompts.dialog.prompts) == 2, "what is opened together is taken together"


def press(box: QWidget, name: str, qtbot: QtBot) -> None:
    (button,) = (one for one in box.findChildren(QPushButton) if one.text().replace("&", "") == name)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_too_long_a_prompt_is_asked_about_and_never_cut_in_silence(
    window: MainWindow, qtbot: QtBot, tmp_path: Path
) -> None:
    """The tiny model counts bytes and holds 2,048 of them."""
    (tmp_path / "long.txt").write_text("word " * 600)
    (tmp_path / "short.txt").write_text("short")
    drop(window, urls(tmp_path / "long.txt", tmp_path / "short.txt"))
    settle(window, qtbot)
    window.composer.set_text("Sum it up.")
    qtbot.waitUntil(lambda: "over" in window.composer.meter.label.text(), timeout=WAIT_MS)
    qtbot.keyClick(window.composer.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.prompts.dialog is not None, timeout=WAIT_MS)
    box = window.prompts.dialog
    assert "the model's context holds 2,048" in box.text()
    assert "“long.txt”, has 3,000" in box.informativeText()
    assert window.chat.conversation.turns == [], "nothing was sent"
    (keep,) = (one.text() for one in box.findChildren(QPushButton) if one.text().startswith("Keep"))
    press(box, keep, qtbot)
    settle(window, qtbot)
    long, short = window.prompts.attachments.files
    assert long.was_cut
    assert not short.was_cut
    assert window.composer.chips.chips[0].label.text().endswith("· cut")
    qtbot.waitUntil(lambda: "over" not in window.composer.meter.label.text(), timeout=WAIT_MS)
    count = window.prompts.context.count
    assert count.num_tokens < count.context_length - 300, "there is room for an answer"
    with qtbot.waitSignal(window.chat.turn_added, timeout=WAIT_MS):
        qtbot.keyClick(window.composer.field, Qt.Key.Key_Return)
    window.chat.stop()


def test_a_long_question_without_files_is_refused_in_words(window: MainWindow, qtbot: QtBot) -> None:
    window.composer.set_text("word " * 600)
    qtbot.keyClick(window.composer.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: "holds 2,048" in told(window), timeout=WAIT_MS)
    assert len(window.composer.text) == 3000, "nothing is lost"
    assert window.chat.conversation.turns == []


def test_a_prompt_of_200_kilobytes_is_shown_as_the_model_sees_it(
    window: MainWindow, qtbot: QtBot, tmp_path: Path
) -> None:
    text = "0123456789" * 20_000
    (tmp_path / "big.txt").write_text(text)
    drop(window, urls(tmp_path / "big.txt"))
    settle(window, qtbot)
    window.composer.set_text("How many digits?")
    window.menus.action("show-prompt").trigger()
    qtbot.waitUntil(lambda: isinstance(window.prompts.dialog, TextDialog), timeout=WAIT_MS)
    shown = window.prompts.dialog.field.toPlainText()
    assert text in shown
    assert "How many digits?" in shown
    assert shown.startswith("<|im_start|>user")
    assert shown.endswith("<|im_start|>assistant\n")


def test_a_prompt_file_opens_its_form_and_runs_in_a_chat_of_its_own(
    window: MainWindow, qtbot: QtBot, tmp_path: Path
) -> None:
    path = tmp_path / "a.prompt.md"
    path.write_text(
        "---\ntitle: Greet\nsystem: Speak {{language}}.\ntemperature: 0.25\nmax_tokens: 7\nseed: 5\nlookahead: 3\n"
        "variables: {language: {choices: [French, Czech]}, who: , text: {lines: 3, default: '-'}}\n---\n"
        "Greet {{who}}. {{text}}"
    )
    drop(window, urls(path))
    qtbot.waitUntil(lambda: isinstance(window.prompts.dialog, PromptForm), timeout=WAIT_MS)
    form = window.prompts.dialog
    assert not form.run_button.isEnabled(), "who is still to be filled"
    form.fill({"language": "Czech", "who": "Ann & {{text}}"})
    with qtbot.waitSignal(window.chat.answer_closed, timeout=WAIT_MS):
        qtbot.mouseClick(form.run_button, Qt.MouseButton.LeftButton)
    (turn,) = window.chat.conversation.turns
    settings = window.chat.settings
    assert turn.question == "Greet Ann & {{text}}. -"
    assert (settings.system, settings.temperature, settings.max_tokens) == ("Speak Czech.", 0.25, 7)
    assert (turn.answer.seed, settings.lookahead) == (5, 3)
    assert turn.answer.finished is not None


def test_a_broken_prompt_file_is_named_with_its_line(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / "a.prompt.md").write_text("---\ntitle: A\ncolour: red\n---\nx")
    drop(window, urls(tmp_path / "a.prompt.md"))
    qtbot.waitUntil(lambda: "line 3: unknown key 'colour'" in told(window), timeout=WAIT_MS)
    assert window.prompts.dialog is None
