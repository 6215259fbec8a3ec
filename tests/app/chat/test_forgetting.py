"""What the engine had read for a chat is forgotten when the chat is gone for good, and not before."""

import json
from pathlib import Path

from pytestqt.qtbot import QtBot

from app.engine.network import EngineNetwork
from app.engine.process import EngineState
from app.engine.request import Settings
from app.store import Store
from app.window.frame import MainWindow
from app.window.memory import WindowMemory
from app.window.workspace import build_window
from tests.app.conftest import EngineFactory
from tests.app.window.test_frame import ask


def requests(window: MainWindow, qtbot: QtBot) -> list[dict]:
    """What the stand-in was asked."""
    network = EngineNetwork()
    window.engine.connect_client(_Client(network))
    reply = network.get(network.request("/requests"))
    qtbot.waitUntil(reply.isFinished, timeout=5_000)
    return json.loads(bytes(reply.readAll().data()))["requests"]


class _Client:
    def __init__(self, network: EngineNetwork) -> None:
        self._network = network

    def set_address(self, address: object) -> None:
        self._network.address = address


def deleted(window: MainWindow, qtbot: QtBot) -> list[str]:
    return [one["deleted"] for one in requests(window, qtbot) if "deleted" in one]


def test_each_chat_names_itself_in_answers_and_in_races(window: MainWindow, qtbot: QtBot) -> None:
    keys = []
    for text in ("one", "other"):
        ask(window, qtbot, text)
        keys.append(window.chat.chat.cache_key)
        window.speculation.start_race()
        qtbot.waitUntil(lambda: window.speculation.race.verdict is not None, timeout=20_000)
        window.speculation.race_window.close()
        window.chat.start_over()
    asked = [one["prompt_cache_key"] for one in requests(window, qtbot) if "messages" in one]
    assert asked == [keys[0]] * 3 + [keys[1]] * 3
    assert keys[0] != keys[1]


def test_a_deletion_that_cannot_be_undone_any_more_is_told(window: MainWindow, qtbot: QtBot) -> None:
    chats = []
    for text in ("one", "two", "three"):
        ask(window, qtbot, text)
        chats.append(window.chat.chat)
        window.chat.start_over()
    window.chats.delete((chats[0].id,))
    window.chats.undo_delete()
    window.chats.delete((chats[0].id, chats[1].id))
    assert deleted(window, qtbot) == [], "it can be undone"
    window.chats.delete((chats[2].id,))
    expected = [f"/v1/prefixes/{chat.cache_key}" for chat in chats[:2]]
    qtbot.waitUntil(lambda: sorted(deleted(window, qtbot)) == sorted(expected), timeout=5_000)


def test_what_was_deleted_last_is_told_when_the_window_opens_again(
    make_engine: EngineFactory, qtbot: QtBot, tmp_path: Path
) -> None:
    store = Store(tmp_path / "chats.sqlite3")
    chat = store.chats.create("gone", Settings())
    store.chats.delete([chat.id])
    store.close()
    window = build_window(make_engine(), WindowMemory(tmp_path / "w.ini"), Store(tmp_path / "chats.sqlite3"))
    window.engine.start()
    qtbot.waitUntil(lambda: window.engine.state is EngineState.READY, timeout=10_000)
    qtbot.waitUntil(lambda: deleted(window, qtbot) == [f"/v1/prefixes/{chat.cache_key}"], timeout=5_000)
    window.close()
    window.deleteLater()
