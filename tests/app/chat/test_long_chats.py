"""Ten thousand messages: opened at once, drawn from their end, and every one of them within reach."""

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.chat.views.conversation import FIRST_TURNS, PAGE_TURNS
from app.engine.request import Settings
from app.store import Store
from app.window.frame import MainWindow

NUM_TURNS = 5_000


@pytest.fixture
def long_chat(window: MainWindow, tmp_path: Path) -> int:
    """A chat of ten thousand messages in the window's store."""
    store: Store = window.chat.store
    chat = store.chats.create("Long", Settings())
    parent = None
    with store._session.changes() as connection:
        for number in range(NUM_TURNS):
            for role, text in (("user", f"Question {number}"), ("assistant", f"Answer **{number}**")):
                statement = "INSERT INTO message (chat_id, parent_id, role, text, created_at) VALUES (?, ?, ?, ?, 1)"
                parent = connection.execute(statement, (chat.id, parent, role, text)).lastrowid
            connection.execute("INSERT INTO answer (message_id, seed, state) VALUES (?, 1, 'finished')", (parent,))
    return chat.id


def test_it_opens_without_drawing_all_of_it(window: MainWindow, qtbot: QtBot, long_chat: int) -> None:
    statements: list[str] = []
    connection = window.chat.store._session._connection
    connection.set_trace_callback(statements.append)
    assert window.chat.open_chat(long_chat)
    connection.set_trace_callback(None)
    assert len(window.chat.conversation.turns) == NUM_TURNS
    assert len(window.chat_view.answers) == FIRST_TURNS
    assert 0 < len(statements) < 30, "none for each message"
    qtbot.waitUntil(lambda: len(window.chat_view.answers) == PAGE_TURNS + FIRST_TURNS, timeout=10_000)
    assert window.chat_view.answers[-1].answer.text == f"Answer **{NUM_TURNS - 1}**"


def test_one_can_read_back(window: MainWindow, qtbot: QtBot, long_chat: int) -> None:
    window.chat.open_chat(long_chat)
    qtbot.waitUntil(lambda: len(window.chat_view.answers) == PAGE_TURNS + FIRST_TURNS, timeout=10_000)
    window.chat_view.verticalScrollBar().setValue(0)
    qtbot.waitUntil(lambda: len(window.chat_view.answers) > PAGE_TURNS + FIRST_TURNS, timeout=10_000)
    texts = [view.answer.text for view in window.chat_view.answers]
    assert texts == [f"Answer **{number}**" for number in range(NUM_TURNS - len(texts), NUM_TURNS)]
