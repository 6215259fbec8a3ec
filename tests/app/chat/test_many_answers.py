"""A hundred answers in one chat: what the window holds does not grow with what was said."""

import gc
import json
import sys

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.chat.rounds import LOADED_ANSWERS
from app.chat.views.conversation import KEPT_TURNS
from app.engine.protocol import parse_round
from app.store.conversation import Answer, Question
from app.window.frame import MainWindow
from tests.app.stand_in import rounds

NUM_ANSWERS = 100
TEXT = "Two **bold** words, `code`, and a list:\n\n1. one\n2. two\n\n```python\nx = 1\n```\n"
OBJECTS_PER_ANSWER = 60  # a question, an answer, their places in the tree, what QtCore keeps of their names


def say(window: MainWindow, wires: list[dict]) -> None:
    """One answer, as the engine's client brings it, in the chat that is open."""
    chat, client = window.chat, window.chat.session.client
    turn = chat.conversation.ask(Question("hello"), Answer(seed=1, model="m"))
    chat.turn_added.emit(turn)
    chat.recorder.asked()
    chat.session.rounds.keep(turn.answer)
    chat._trace.show(turn.answer)
    chat.session.answering.answer = turn.answer
    for wire in wires:
        client.round_finished.emit(parse_round(json.dumps(wire)))
        client.text_arrived.emit("".join(token["text"] for token in wire["emitted"]))
    chat.stop()
    QApplication.processEvents()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def held(window: MainWindow) -> tuple[int, int]:
    """How many widgets the window has, and how many objects Python has."""
    gc.collect()
    return len(window.findChildren(QWidget)), len(gc.get_objects())


def test_what_is_held_does_not_grow(window: MainWindow, qtbot: QtBot) -> None:
    wires = rounds(TEXT)
    nones = sys.getrefcount(None)
    for _ in range(NUM_ANSWERS // 2):
        say(window, wires)
    widgets, objects = held(window)
    for _ in range(NUM_ANSWERS // 2):
        say(window, wires)
    widgets_after, objects_after = held(window)
    assert len(window.chat.conversation.turns) == NUM_ANSWERS
    assert len(window.chat_view.answers) == KEPT_TURNS
    assert sum(bool(turn.answer.rounds) for turn in window.chat.conversation.turns) == LOADED_ANSWERS
    assert widgets_after <= widgets
    assert objects_after - objects < OBJECTS_PER_ANSWER * NUM_ANSWERS // 2
    assert sys.getrefcount(None) - nones > -NUM_ANSWERS, "None keeps its references"
    window.chat_view.verticalScrollBar().setValue(0)
    qtbot.waitUntil(lambda: len(window.chat_view.answers) > KEPT_TURNS, timeout=20_000)
    assert window.chat_view.answers[0].answer.text == TEXT, "what was forgotten is made again"
