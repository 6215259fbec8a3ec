"""The first page against the scripted engine: when it shows, what it says, and where its buttons lead."""

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.engine.model_records import Pair, Suggestion
from app.engine.process import EngineState
from app.engine.request import Settings
from app.first_run.words import role_words, speed_words
from app.look.theme import DARK
from app.store import Store
from app.window.frame import MainWindow
from app.window.memory import WindowMemory
from app.window.workspace import build_window


def shown(window: MainWindow) -> object:
    return window._pages.currentWidget()


def advised(window: MainWindow, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: window.first_run.advice.suggestions is not None, timeout=5_000)


def test_it_is_what_a_new_user_sees_and_a_pair_leads_to_the_models_window(window: MainWindow, qtbot: QtBot) -> None:
    advised(window, qtbot)
    page = window.first_run.page
    assert shown(window) is page
    assert "stand-in is loaded" in page.standing.text()
    assert [card.suggestion.pair.name for card in page.cards] == ["qwen3-8b", "qwen2.5-coder-7b", "llama-3.2-3b"]
    told = [card.accessibleDescription() for card in page.cards]
    assert "The largest that fits" in told[0]
    assert "takes about 6.48 GB of 11.45 GB. up to 90 tokens/s. 42 without its draft" in told[0]
    assert "1.43×, measured here" in told[1]
    assert "up to 42 tokens/s. without a draft" in told[2]
    assert "200 GB/s as measured here" in page.models_words.text()
    (consent,) = window.upkeep._consents
    assert not consent.box.isChecked()
    assert not consent.box.isEnabled()
    assert "built without" in consent.words.text()
    page.cards[0].click()
    models = window.models.models_window
    assert models.isVisible()
    assert models.models.choice.pair == "qwen3-8b"
    models.close()
    window.choose_appearance("dark")
    window.resize(520, 420)
    assert window.theme.palette is DARK
    assert page.widget().width() <= page.viewport().width(), "nothing is cut off at the right"
    for card in page.cards:
        assert card.height() >= card.heightForWidth(card.width())


def test_it_calls_nothing_ready_that_is_not(window: MainWindow, qtbot: QtBot) -> None:
    advised(window, qtbot)
    page = window.first_run.page
    assert page.headline.text() == "Ready to chat"
    page.show_engine(EngineState.LOADING, "Reading weights: 10%", "")
    assert page.headline.text() == "Getting ready"
    assert page.standing.text().startswith("Reading weights: 10%. At a first start")
    page.show_engine(EngineState.STOPPED, "", "")
    assert page.headline.text() == "Not ready to chat"


def test_starting_to_chat_ends_it_for_good(window: MainWindow, qtbot: QtBot) -> None:
    assert not window.memory.has_begun
    window.first_run.page.start.click()
    assert shown(window) is window.welcome
    assert window.memory.has_begun
    window.menus.action("first-steps").trigger()
    assert shown(window) is window.first_run.page
    window.ask("hello")
    assert shown(window) is window.chat_view
    qtbot.waitUntil(lambda: not window.chat.is_busy, timeout=5_000)
    window.chat.start_over()
    assert shown(window) is window.welcome
    window.ask("hello")
    qtbot.waitUntil(lambda: not window.chat.is_busy, timeout=5_000)
    window.menus.action("first-steps").trigger()
    assert shown(window) is window.first_run.page, "in an empty chat"
    assert window.chat.conversation.is_empty


def test_who_has_chats_needs_no_introduction(make_engine, qtbot: QtBot, tmp_path: Path) -> None:
    store = Store(tmp_path / "chats.sqlite3")
    store.chats.create("An old chat", Settings())
    window = build_window(make_engine(), WindowMemory(tmp_path / "w.ini"), store)
    qtbot.addWidget(window)
    assert shown(window) is window.welcome


def test_the_minute_runs_and_is_remembered(window: MainWindow, qtbot: QtBot) -> None:
    measuring = window.first_run.page.measuring
    assert measuring.button.isEnabled()
    measuring.button.click()
    assert measuring.bar.isVisibleTo(measuring)
    assert measuring.button.text() == "Stop"
    qtbot.waitUntil(lambda: not window.first_run.bench.is_running, timeout=10_000)
    assert measuring.verdict.text() == "About as fast as without", "the script is as fast with and without"
    assert measuring.button.text() == "Measure Again"
    assert "1.00× plain decoding" in window.models.loaded.measured(window.models.loaded.choice)


@pytest.mark.parametrize(
    ("plain", "drafted", "expected"),
    [(None, None, ("", "")), (3.21, None, ("up to 3.2 tokens/s", "without a draft")),
     (20.0, 45.4, ("up to 45 tokens/s", "20 without its draft"))],
)  # fmt: skip
def test_speeds(plain: float | None, drafted: float | None, expected: tuple[str, str]) -> None:
    pair = Pair("p", "t", "d", "", "same", True)
    assert speed_words(Suggestion(pair, "quick", 1, 2, plain, drafted)) == expected
    assert role_words("reason of a newer engine") == ""
