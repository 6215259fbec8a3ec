"""Models in the window, with the real server behind it and a loopback Hub behind that."""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication, QMessageBox, QPushButton
from pytestqt.qtbot import QtBot

from app.engine.model_records import Judgement, Refusal
from app.engine.process import EngineState
from app.models.choice import Choice
from app.models.loaded import STARTER
from app.models.views.place import PlaceDialog
from app.models.views.token import TokenDialog
from app.models.views.window import FIND, INSTALLED, SIZE, ModelsWindow
from app.window.frame import MainWindow
from app.window.preferences import Preferences
from tests.app.models.stage import DRAFT, GATED, HEAVY, HUGE, OTHER, SMALL, STRANGE, settings_of, window_with_hub
from tests.app.prompts.test_drops import drop, urls
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.models.gguf.tiny import tiny_gguf

WAIT_MS = 60_000


class Person:
    """Does what a person does in the models' window, and waits for what comes of it."""

    def __init__(self, window: MainWindow, hub: LoopbackHub, qtbot: QtBot) -> None:
        self.main, self.hub, self.qtbot = window, hub, qtbot
        window.models.show()
        self.window: ModelsWindow = window.models.models_window
        self.models = self.window.models
        self.until(lambda: self.models.findings is not None and not self.models.is_searching)

    def until(self, is_done: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(is_done()), timeout=WAIT_MS)

    def answer(self, task: str, ask: Callable[[], object]) -> None:
        """Ask the engine, and wait for what it says to that."""
        said = self.models.client.answered
        with self.qtbot.waitSignal(said, timeout=WAIT_MS, check_params_cb=lambda of, *_: of == task):
            ask()

    def search(self, text: str) -> list[str]:
        """The titles that show, headings included."""
        self.window.tabs.choose(FIND)
        self.window.field.setText(text)
        self.qtbot.keyClick(self.window.field, Qt.Key.Key_Return)
        self.until(lambda: not self.models.is_searching and self.models.query == text)
        return [entry.title for entry in self.window.list.entries]

    def choose(self, title: str) -> None:
        self.window.list.choose(title)
        choice = self.models.choice
        assert choice is not None
        self.until(lambda: not any(self.models.is_asking(name) for name in choice.names))

    def installed(self) -> list[str]:
        self.window.tabs.choose(INSTALLED)
        self.window.field.clear()
        return [entry.title for entry in self.window.list.entries]

    def press(self, name: str) -> None:
        button = self.window.detail.buttons[name]
        assert button.isVisible(), name
        assert button.isEnabled(), name
        button.click()

    def facts(self) -> dict[str, str]:
        return dict(self.window.detail.facts.facts)

    def state_of(self, name: str) -> str:
        download = self.models.download_of(name)
        return download.state if download else ""

    def fetch(self, title: str, name: str) -> None:
        """Search, choose, download and wait until it is installed."""
        self.search(title)
        self.choose(title)
        self.press("download")
        self.until(lambda: self.state_of(name) == "done" and self.models.installed(name))


@pytest.fixture
def person(qtbot: QtBot, tmp_path: Path) -> Iterator[Person]:
    with window_with_hub(tmp_path) as (window, hub):
        qtbot.waitUntil(lambda: window.engine.state is EngineState.READY, timeout=WAIT_MS)
        yield Person(window, hub, qtbot)


@pytest.fixture(scope="module")
def shared(
    qapp: QApplication, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[MainWindow, LoopbackHub, dict[str, str]]]:
    """One engine for all who leave things as they were: starting it is most of what such a test takes."""
    folder = tmp_path_factory.mktemp("shared")
    with window_with_hub(folder) as (window, hub):
        yield window, hub, settings_of(folder, hub)


@pytest.fixture
def onlooker(
    shared: tuple[MainWindow, LoopbackHub, dict[str, str]], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Person]:
    window, hub, settings = shared
    for name, value in settings.items():
        monkeypatch.setenv(name, value)  # for an engine that is started again
    qtbot.waitUntil(lambda: window.engine.state is EngineState.READY, timeout=WAIT_MS)
    yield Person(window, hub, qtbot)
    hub.faults, hub.bytes_per_second = [], None
    window.models.models_window.resize(*SIZE)
    assert window.models.models_window.models.stock.models == (), "who installs takes `guest` or `person`"


@pytest.fixture
def guest(onlooker: Person) -> Iterator[Person]:
    """May install too, and leaves nothing behind: whoever has the engine load something else takes `person`."""
    yield onlooker
    client, models = onlooker.models.client, onlooker.models
    onlooker.until(lambda: onlooker.main.engine.state is EngineState.READY)
    for download in models.downloads.downloads:
        onlooker.answer("downloads", lambda name=download.repo_id: client.forget_download(name))
    onlooker.answer("installed", client.fetch_installed)
    for model in models.stock.models:
        onlooker.answer("remove", lambda name=model.name: client.remove(name))
    onlooker.answer("installed", client.fetch_installed)
    models.judgements.clear()


def test_from_a_word_to_a_chat_with_the_fetched_model_and_back_to_the_free_disk(person: Person) -> None:
    assert person.search(SMALL) == ["To download from the Hub", "Tiny"]
    person.choose("Tiny")
    judged = person.models.judgements[SMALL]
    assert isinstance(judged, Judgement)
    assert 0 < judged.fetch_bytes == judged.total_bytes
    assert person.window.detail.buttons["download"].text().startswith("Download 3")
    assert person.window.detail.room.text().startswith("✓ Fits: needs")
    assert person.facts()["Licence"] == "apache-2.0"
    assert person.facts()["Context"] == "256 tokens at the most"
    person.fetch("Tiny", SMALL)
    assert person.installed() == [SMALL]
    assert person.window.list.entries[0].mark == person.facts().get("On disk", person.window.list.entries[0].mark)
    person.choose(SMALL)
    person.press("verify")
    person.until(lambda: "every byte" in person.window.told.text())
    person.press("use")
    assert person.window.load_words.isVisible()
    person.until(lambda: person.main.engine.state is EngineState.READY)
    assert not person.window.load_words.isVisible()
    assert person.window.detail.buttons["use"].text() == "In Use"
    assert not person.window.detail.buttons["delete"].isEnabled(), "what is in use is not deleted"
    person.until(lambda: person.main.chat.model == "Tiny-4bit" or person.main.chat.model == SMALL)
    person.main.ask("Once")
    person.until(lambda: not person.main.chat.is_busy)
    assert person.main.chat.conversation.turns[-1].answer.state == "finished"
    person.main.models.use(STARTER)
    person.until(lambda: person.main.engine.state is EngineState.READY)
    assert len(person.main.chat.conversation.turns) == 1, "the chat outlives the engine"
    person.press("delete")
    person.until(lambda: isinstance(person.window.question, QMessageBox))
    box = person.window.question
    assert isinstance(box, QMessageBox)
    assert "That frees 3" in box.informativeText()
    delete = next(button for button in box.buttons() if button.text() == "Delete")
    delete.click()
    person.until(lambda: person.installed() == [])
    assert "are free again" in person.window.told.text()


def test_known_pairs_come_first_and_are_judged_as_a_whole(onlooker: Person) -> None:
    assert onlooker.search("qwen3 8b")[:2] == ["Pairs: a target with a draft that fits it", "qwen3-8b"]
    onlooker.choose("qwen3-8b")
    target, draft = (onlooker.models.judgements[name] for name in (HEAVY, DRAFT))
    estimate = onlooker.models.estimate()
    assert isinstance(target, Judgement)
    assert isinstance(draft, Judgement)
    assert estimate is not None
    assert estimate.fetch_bytes == target.fetch_bytes + draft.fetch_bytes
    assert estimate.needed_bytes == (target.needed_bytes or 0) + (draft.needed_bytes or 0)
    facts = onlooker.facts()
    assert (facts["Target"], facts["Draft"]) == (HEAVY, DRAFT)
    assert facts["Speed-up"].startswith("Not measured on this machine yet"), "no figure is made up"
    drafts = [radio.text() for radio in onlooker.window.detail.drafts.radios]
    assert drafts[0] == f"{DRAFT} · to download"
    assert drafts[-1] == "No draft"
    onlooker.window.detail.drafts.radios[-1].click()
    assert onlooker.models.choice == Choice(HEAVY)
    assert onlooker.facts().get("Draft") is None


def test_quantisations_are_one_line_with_a_box_to_choose(onlooker: Person) -> None:
    titles = onlooker.search("Qwen3-8B")
    assert titles.count("Qwen3-8B") == 1
    onlooker.choose("Qwen3-8B")
    box = onlooker.window.detail.variants
    offered = [box.itemData(index) for index in range(box.count())]
    assert sorted(offered) == ["mlx-community/Qwen3-8B-4bit", "mlx-community/Qwen3-8B-8bit"]
    small = onlooker.models.estimate()
    box.setCurrentIndex(offered.index("mlx-community/Qwen3-8B-8bit"))
    box.activated.emit(box.currentIndex())
    onlooker.until(lambda: isinstance(onlooker.models.judgements.get("mlx-community/Qwen3-8B-8bit"), Judgement))
    large = onlooker.models.estimate()
    assert small is not None
    assert large is not None
    assert (large.fetch_bytes or 0) > (small.fetch_bytes or 0) > 0


def test_what_does_not_fit_or_is_not_known_says_so_with_numbers(onlooker: Person) -> None:
    onlooker.search(f"https://huggingface.co/{HUGE}")
    onlooker.choose("Huge")
    assert onlooker.window.detail.room.text().startswith("✕ Does not fit: needs 403.31 GB, and ")
    onlooker.search("strange")
    onlooker.choose(STRANGE.partition("/")[2].removesuffix("-4bit"))
    assert onlooker.facts()["Kind"] == "✕ squid, which this engine does not know"
    assert "'squid'" in onlooker.window.detail.room.text()


def test_a_typo_brings_the_names_that_come_near(onlooker: Person) -> None:
    titles = onlooker.search("mlx-community/Qwen3-8B-4bti")
    assert titles[0].startswith("Nothing is called that")
    assert HEAVY in titles[1:]
    onlooker.choose(HEAVY)
    assert isinstance(onlooker.models.judgements[HEAVY], Judgement)


def test_a_download_is_paused_goes_on_and_is_cancelled(onlooker: Person) -> None:
    onlooker.hub.bytes_per_second = 2_000_000
    onlooker.search("Qwen3-8B")
    onlooker.choose("Qwen3-8B")
    onlooker.press("download")
    onlooker.until(lambda: (one := onlooker.models.download_of(HEAVY)) and one.done_bytes and one.left_s)
    row = onlooker.window.downloads.rows[HEAVY]
    assert row.bar.value() >= 0
    assert row.bar.maximum() == 1000
    assert "/s · " in row.words.text()
    assert row.words.text().endswith("left")
    assert onlooker.window.detail.buttons["download"].text() == "Downloading…"
    row.buttons["pause"].click()
    onlooker.until(lambda: onlooker.state_of(HEAVY) == "paused")
    assert row.words.text().startswith("Paused at")
    assert row.buttons["resume"].isVisible()
    assert not row.buttons["pause"].isVisible()
    row.buttons["resume"].click()
    onlooker.until(lambda: onlooker.state_of(HEAVY) == "downloading")
    row.buttons["cancel"].click()
    onlooker.until(lambda: onlooker.state_of(HEAVY) == "cancelled")
    row.buttons["dismiss"].click()
    onlooker.until(lambda: HEAVY not in onlooker.window.downloads.rows)
    assert not onlooker.window.downloads.isVisible()


def test_a_gated_model_names_its_page_and_takes_a_token(guest: Person) -> None:
    guest.search("secret")
    guest.choose("Secret")
    assert guest.facts()["Access"].startswith("Gated")
    guest.press("download")
    guest.until(lambda: guest.state_of(GATED) == "failed")
    row = guest.window.downloads.rows[GATED]
    assert "accept its terms on its page" in row.words.text()
    assert "mlx-spec" not in row.words.text(), "the window sends nobody to the terminal"
    assert {key for key, button in row.buttons.items() if button.isVisible()} == {"page", "token", "retry", "dismiss"}
    assert row.download.page.endswith(GATED)
    row.buttons["token"].click()
    dialog = guest.window.question
    assert isinstance(dialog, TokenDialog)
    dialog.field.setText("not a token")
    dialog.keep_button.click()
    guest.until(lambda: dialog.wrong.isVisible())
    assert "begins with hf_" in dialog.wrong.text()
    dialog.reject()


def test_wrong_bytes_are_told_and_tried_again(guest: Person) -> None:
    guest.hub.faults = [Fault("wrong_bytes", "/blobs/", times=4, at=10)]
    guest.search("tiny")
    guest.choose("Tiny")
    guest.press("download")
    guest.until(lambda: guest.state_of(SMALL) == "failed")
    row = guest.window.downloads.rows[SMALL]
    assert row.download.kind == "checksum"
    assert "Try again" in row.words.text()
    guest.hub.faults = []
    row.buttons["retry"].click()
    guest.until(lambda: guest.state_of(SMALL) == "done")


def test_without_the_hub_only_what_is_installed_shows_and_it_says_so(guest: Person) -> None:
    guest.fetch("Tiny", SMALL)
    guest.hub.faults = [Fault("status", "/api/models", times=99, status=503)]
    assert SMALL in guest.search("tiny")
    assert "out of reach" in guest.window.remark.text()
    assert guest.window.again.isVisible()
    guest.hub.faults = []
    guest.window.again.click()
    guest.until(lambda: not guest.window.remark.isVisible())


def test_with_the_engine_gone_it_says_so_and_goes_on_when_it_is_back(guest: Person) -> None:
    guest.main.engine.stop()
    guest.search("tiny2")
    assert "The engine does not answer" in guest.window.remark.text()
    assert isinstance(guest.models.refusal, Refusal)
    guest.main.engine.start()
    guest.until(lambda: not guest.window.remark.isVisible())
    assert guest.models.refusal is None


def test_what_cannot_be_loaded_is_told_and_the_model_before_it_is_back(person: Person) -> None:
    person.fetch("Other", OTHER)
    loaded = person.main.models.loaded
    with person.qtbot.waitSignal(loaded.failed, timeout=WAIT_MS) as failed:
        person.main.models.use(Choice(OTHER))
    assert OTHER in failed.args[0].title
    assert failed.args[0].advice
    person.until(lambda: person.main.engine.state is EngineState.READY)
    assert loaded.choice == STARTER
    assert "could not be loaded" in person.window.told.text()
    person.installed()
    person.choose(OTHER)
    assert not person.window.detail.buttons["use"].isVisible()
    assert "cannot be used" in person.window.detail.remark.text()


def test_a_gguf_file_dropped_on_the_window_is_imported_and_can_be_used(person: Person, tmp_path: Path) -> None:
    file = tiny_gguf().write(tmp_path / "dropped.gguf")
    assert drop(person.main.composer.field.viewport(), urls(file))
    person.until(lambda: person.main.models.imports.path is None and person.models.stock.models)
    assert person.window.told.text() == "dropped.gguf is imported."
    assert not person.main.prompts.attachments.files, "it is a model, not a text to ask about"
    [model] = person.models.stock.models
    assert (model.source, model.usable) == ("imported", True)
    person.press("use")
    person.until(lambda: person.main.engine.state is EngineState.READY)
    assert person.main.models.loaded.choice == Choice(model.folder), "the file may go"
    assert person.window.detail.buttons["use"].text() == "In Use"


def test_how_long_idle_models_stay_is_chosen_in_the_settings_and_outlives_the_engine(onlooker: Person) -> None:
    main, told = onlooker.main, []
    main.models.loaded.changed.connect(lambda: pytest.fail("nothing is loaded anew"))
    onlooker.models.client.answered.connect(lambda task, _, value: task == "memory" and told.append(value))
    dialog = Preferences(main.theme, main.memory, main.engine, main.models.loaded, main)
    assert dialog.unloading.currentText() == "When memory is short"
    dialog.unloading.setCurrentIndex(dialog.unloading.findData(30))
    onlooker.until(lambda: told and told[-1].unload_after_s == 1800)
    told.clear()
    main.engine.stop()
    main.engine.start()
    onlooker.until(lambda: told and told[-1].unload_after_s == 1800)
    dialog.unloading.setCurrentIndex(dialog.unloading.findData(0))
    onlooker.until(lambda: told[-1].unload_after_s is None)


def test_what_is_no_model_is_named(onlooker: Person, tmp_path: Path) -> None:
    broken, text = tmp_path / "broken.gguf", tmp_path / "notes.txt"
    broken.write_bytes(b"GGUF and nothing else")
    text.write_text("hello")
    onlooker.main.models.take([text])
    assert "notes.txt is no model" in onlooker.window.told.text()
    with onlooker.qtbot.waitSignal(onlooker.main.models.imports.finished, timeout=WAIT_MS) as finished:
        onlooker.main.models.take([broken])
    assert not finished.args[1]
    assert "broken.gguf" in onlooker.window.told.text()
    assert onlooker.models.stock.models == ()


def test_everything_has_a_name_and_a_place_in_a_small_window(onlooker: Person) -> None:
    onlooker.search("qwen3")
    onlooker.choose("qwen3-8b")
    onlooker.window.resize(460, 480)
    QApplication.processEvents()
    assert onlooker.window.width() == 460
    for button in onlooker.window.findChildren(QPushButton):
        if button.isVisible():
            assert button.text() or button.accessibleName()
            left = button.mapTo(onlooker.window, QPoint(0, 0)).x()
            assert left >= 0, button.text()
            assert left + button.width() <= 460, button.text()
    assert onlooker.window.detail.horizontalScrollBar().maximum() == 0


def test_what_does_not_fit_is_loaded_only_when_said_again(guest: Person) -> None:
    guest.fetch("Tiny", SMALL)
    guest.installed()
    guest.choose(SMALL)
    judged = guest.models.judgements[SMALL]
    assert isinstance(judged, Judgement)
    guest.models.judgements[SMALL] = replace(judged, room="no", needed_bytes=judged.available_bytes + 1)
    guest.window.detail.refresh()
    wanted: list[object] = []
    guest.window.use_chosen.connect(wanted.append)
    guest.press("use")
    box = guest.window.question
    assert isinstance(box, QMessageBox)
    assert "Does not fit" in box.informativeText()
    assert not wanted
    box.reject()
    assert guest.main.models.loaded.choice == STARTER


def test_models_move_to_another_folder_and_another_hub_is_named(person: Person, tmp_path: Path) -> None:
    person.window.place_button.click()
    dialog = person.window.question
    assert isinstance(dialog, PlaceDialog)
    person.until(lambda: dialog.now.text() == str(tmp_path / "hub"))
    assert not dialog.move_button.isEnabled()
    dialog.folder.setText(str(tmp_path / "hub" / "inside"))
    dialog.move_button.click()
    person.until(lambda: "cannot take the cache" in dialog.told.text())
    assert dialog.move_button.isEnabled()
    dialog.folder.setText(str(tmp_path / "another disk"))
    dialog.move_button.click()
    person.until(lambda: dialog.told.text().startswith("Moved"))
    assert dialog.now.text() == f"{tmp_path / 'another disk'}, found at {tmp_path / 'hub'}"
    assert (tmp_path / "hub").resolve() == tmp_path / "another disk"
    dialog.mirror.setText("nonsense")
    dialog.mirror_button.click()
    person.until(lambda: "nonsense" in dialog.told.text())
    dialog.mirror.setText("https://mirror.example")
    dialog.mirror_button.click()
    # The engine of this test has HF_ENDPOINT set, as a person may: nobody is told that the mirror is asked.
    person.until(lambda: "HF_ENDPOINT is set" in dialog.told.text())
    assert person.hub.endpoint in dialog.told.text()
    picture = tmp_path / "place.png"
    assert dialog.grab().save(str(picture))
    dialog.close_button.click()
    person.until(lambda: person.window.question is None)


def test_a_pair_that_was_tried_shows_what_that_brought(guest: Person) -> None:
    told = 'import json; print(json.dumps({"ratio": 1.42, "same_words": True}))'
    guest.main.models.races._command = lambda choice: [sys.executable, "-c", told]
    guest.window.tabs.choose(INSTALLED)
    guest.models.choose(guest.models.entry, STARTER)
    assert "Not measured" in guest.facts()["Speed-up"]
    guest.until(lambda: "Takes now" in guest.facts())
    assert re.fullmatch(r"[\d.]+ \wB \(the engine as a whole [\d.]+ MB\).*", guest.facts()["Takes now"])
    guest.press("try")
    assert not guest.window.detail.buttons["try"].isEnabled()
    assert "races for 20 seconds" in guest.window.told.text()
    guest.until(lambda: "1.42×" in guest.window.told.text())
    assert guest.facts()["Speed-up"].startswith("1.42× plain decoding, in the last race on this machine")
    assert guest.window.detail.buttons["try"].isEnabled()
