"""Several chats are answered at once: another one can be opened and asked, and each goes on where it belongs."""

import os
import signal

import pytest
from pytestqt.qtbot import QtBot

from app.chat import ChatViewModel
from app.engine.client import EngineClient
from app.engine.problem import Problem
from app.engine.process import EngineProcess
from app.engine.protocol import Standing
from app.speculation import TraceViewModel
from app.store import Store, conversation_of
from tests.app.stand_in import ANSWER

WAIT_MS = 20_000


@pytest.fixture
def chat(engine: EngineProcess, qtbot: QtBot) -> ChatViewModel:
    chat = ChatViewModel(engine, EngineClient(engine), TraceViewModel(engine), Store(None))
    chat.setParent(engine)
    chat.follow_engine()
    qtbot.waitUntil(lambda: chat.is_ready, timeout=10_000)
    return chat


def begin(chat: ChatViewModel, qtbot: QtBot, text: str = "slow") -> int:
    """Ask in a new chat, and wait for its first words; returns the chat's id."""
    chat.start_over()
    assert chat.send(text)
    qtbot.waitUntil(lambda: bool(chat.conversation.turns[-1].answer.text), timeout=WAIT_MS)
    return chat.chat.id


def kept(chat: ChatViewModel, chat_id: int) -> list[tuple[str, str]]:
    turns = conversation_of(chat.store.messages.of(chat_id)).turns
    return [(turn.answer.state, turn.answer.text) for turn in turns]


def test_both_answers_stream_on_and_each_goes_to_its_chat(chat: ChatViewModel, qtbot: QtBot) -> None:
    closed: list[object] = []
    chat.answer_closed.connect(closed.append)
    first = begin(chat, qtbot)
    in_first = chat.conversation.turns[-1].answer
    second = begin(chat, qtbot)
    in_second = chat.conversation.turns[-1].answer
    assert chat.activity.answering == {first, second}
    lengths = len(in_first.text), len(in_second.text)
    qtbot.waitUntil(lambda: len(in_first.text) > lengths[0] and len(in_second.text) > lengths[1], timeout=WAIT_MS)
    assert chat._trace.rounds == in_second.rounds
    qtbot.waitUntil(lambda: not chat.activity.answering, timeout=WAIT_MS)
    assert (in_first.text, in_second.text) == (ANSWER, ANSWER)
    assert closed == [in_second], "the other one is not what shows"
    assert kept(chat, first) == kept(chat, second) == [("finished", ANSWER)]
    assert chat.activity.unread == {first}
    assert chat.open_chat(first)
    assert chat.activity.unread == set()
    assert len(chat.sessions.all) == 1, "what is over is kept by the store alone"


def test_an_open_answer_is_taken_up_where_it_is(chat: ChatViewModel, qtbot: QtBot) -> None:
    first = begin(chat, qtbot)
    answer = chat.conversation.turns[-1].answer
    chat.start_over()
    assert not chat.is_busy
    grown: list[bool] = []
    chat.answer_grew.connect(lambda: grown.append(True))
    length = len(answer.text)
    qtbot.waitUntil(lambda: len(answer.text) > length, timeout=WAIT_MS)
    assert grown == [], "the empty chat that shows did not grow"
    assert chat._trace.rounds == []
    assert chat.open_chat(first)
    assert chat.open_answer is answer
    assert chat._trace.answer is answer
    length = len(chat._trace.rounds)
    qtbot.waitUntil(lambda: len(chat._trace.rounds) > length, timeout=WAIT_MS)
    assert chat._trace.rounds == answer.rounds
    with qtbot.waitSignal(chat.answer_closed, timeout=WAIT_MS):
        pass
    assert chat.activity.unread == set(), "it was looked at"
    assert len(chat.sessions.all) == 1


def test_stop_stops_the_chat_that_shows_alone(chat: ChatViewModel, qtbot: QtBot) -> None:
    first, second = begin(chat, qtbot), begin(chat, qtbot)
    chat.stop()
    assert chat.activity.answering == {first}
    assert [state for state, _ in kept(chat, second)] == ["stopped"]
    qtbot.waitUntil(lambda: kept(chat, first) == [("finished", ANSWER)], timeout=WAIT_MS)


def test_a_request_knows_its_chat_and_can_be_stopped_from_elsewhere(chat: ChatViewModel, qtbot: QtBot) -> None:
    first = begin(chat, qtbot)
    chat.store.chats.rename(first, "A name")
    chat.refresh()
    begin(chat, qtbot)
    told = {one.title: one for one in chat.sessions.own_requests()}
    assert set(told) == {"A name", "slow"}
    assert told["A name"].id != told["slow"].id == chat.request_id
    told["A name"].stop()
    assert [state for state, _ in kept(chat, first)] == ["stopped"]
    assert chat.activity.unread == set(), "who stopped it knows"
    assert chat.is_busy
    chat.stop()


def test_what_failed_aside_is_told_when_its_chat_is_opened(chat: ChatViewModel, qtbot: QtBot) -> None:
    problems: list[Problem] = []
    chat.problem_raised.connect(problems.append)
    chat.send("error chunk")
    first = chat.chat.id
    chat.start_over()
    qtbot.waitUntil(lambda: chat.activity.unread == {first}, timeout=WAIT_MS)
    assert problems == [], "it belongs to another chat"
    assert chat.open_chat(first)
    assert [problem.advice for problem in problems] == ["Out of memory."]
    assert chat.conversation.turns[-1].answer.state == "failed"
    chat.start_over()
    assert len(chat.sessions.all) == 1, "told once is enough"


def test_a_deleted_chat_is_answered_no_more(chat: ChatViewModel, qtbot: QtBot) -> None:
    first, second = begin(chat, qtbot), begin(chat, qtbot)
    chat.store.chats.delete([first, second])
    chat.refresh()
    assert chat.activity.answering == set()
    assert chat.conversation.is_empty
    chat.store.chats.restore([first, second])
    assert [kept(chat, one)[0][0] for one in (first, second)] == ["stopped", "stopped"]
    assert len(chat.sessions.all) == 1


def test_an_engine_that_dies_fails_all_and_each_is_told_in_its_chat(
    chat: ChatViewModel, engine: EngineProcess, qtbot: QtBot
) -> None:
    problems: list[Problem] = []
    first, second = begin(chat, qtbot), begin(chat, qtbot)
    chat.problem_raised.connect(problems.append)
    os.kill(engine.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: not chat.activity.answering, timeout=WAIT_MS)
    assert [kept(chat, one)[0][0] for one in (first, second)] == ["failed", "failed"]
    qtbot.waitUntil(lambda: chat.is_ready and "running again" in problems[-1].title, timeout=WAIT_MS)
    problems.clear()
    assert chat.open_chat(first)
    assert [problem.remedy for problem in problems] == ["retry"]
    with qtbot.waitSignal(chat.answer_closed, timeout=WAIT_MS):
        chat.ask_again()
    assert chat.conversation.turns[-1].answer.text == ANSWER


def test_how_a_request_stands_is_told_and_told_again(chat: ChatViewModel, qtbot: QtBot) -> None:
    told: list[Standing] = []
    chat.standing_shown.connect(told.append)
    chat.send("waits")
    first = chat.chat.id
    qtbot.waitUntil(lambda: told == [Standing("waiting", 3)], timeout=WAIT_MS)
    assert chat.standing == Standing("waiting", 3)
    chat.start_over()
    assert chat.standing is None
    told.clear()
    assert chat.open_chat(first)
    assert told[0].state == "waiting"
    with qtbot.waitSignal(chat.answer_closed, timeout=WAIT_MS) as closed:
        pass
    assert told[-4:] == [Standing("waiting", 1), Standing("on"), Standing("aside"), Standing("on")]
    assert closed.args[0].text == ANSWER
