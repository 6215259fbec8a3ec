"""The open chat, without a widget, against the scripted engine."""

import os
import signal

import pytest
from pytestqt.qtbot import QtBot

from app.chat.shown import ChatViewModel
from app.engine.client import EngineClient
from app.engine.problem import Problem
from app.engine.process import EngineState
from app.engine.protocol import Prefill
from app.engine.request import Settings
from app.speculation.trace import TraceViewModel
from tests.app.conftest import EngineFactory
from tests.app.stand_in import ANSWER


class Chat:
    """A chat view model with its engine, and what it told."""

    def __init__(self, make_engine: EngineFactory) -> None:
        self.engine, self.client, self.trace = make_engine(), EngineClient(), TraceViewModel()
        self.model = ChatViewModel(self.engine, self.client, self.trace)
        self.problems: list[Problem] = []
        self.prefills: list[object] = []
        self.model.problem_raised.connect(self.problems.append)
        self.model.prefill_shown.connect(self.prefills.append)

    def is_ready(self) -> bool:
        return self.engine.state is EngineState.READY and bool(self.model.model)


@pytest.fixture
def chat(make_engine: EngineFactory, qtbot: QtBot) -> Chat:
    chat = Chat(make_engine)
    assert not chat.model.can_send("hello"), "not before the engine is ready"
    chat.engine.start()
    qtbot.waitUntil(chat.is_ready, timeout=10_000)
    return chat


class TestChat:
    def test_an_answer(self, chat: Chat, qtbot: QtBot) -> None:
        with qtbot.waitSignal(chat.model.answer_closed, timeout=10_000) as closed:
            assert chat.model.send("  hello \n")
            assert chat.model.is_busy
            assert not chat.model.can_send("another")
        answer = closed.args[0]
        assert (answer.state, answer.text) == ("finished", ANSWER)
        assert "".join(t.text for one in answer.rounds for t in one.emitted) == ANSWER
        assert chat.model.conversation.turns[0].question == "hello"
        assert chat.trace.rounds == answer.rounds
        assert chat.trace.speedup == 1.42
        assert chat.problems == []
        assert chat.prefills == [], "a quick prompt shows no progress"

    def test_empty_text_is_not_sent(self, chat: Chat) -> None:
        assert not chat.model.send(" \n ")
        assert chat.model.conversation.turns == []

    def test_seeds(self, chat: Chat, qtbot: QtBot) -> None:
        for seed in (None, None, 77):
            chat.model.settings = Settings(seed=seed)
            with qtbot.waitSignal(chat.model.answer_closed, timeout=10_000):
                chat.model.send("hello")
        first, second, third = (turn.answer.seed for turn in chat.model.conversation.turns)
        assert first != second
        assert third == 77

    def test_stop_keeps_the_text(self, chat: Chat, qtbot: QtBot) -> None:
        chat.model.send("slow")
        answer = chat.model.open_answer
        assert answer is not None
        qtbot.waitUntil(lambda: len(answer.text) > 20, timeout=5_000)
        chat.model.stop()
        text = answer.text
        qtbot.wait(100)
        assert answer.state == "stopped"
        assert answer.text == text
        assert ANSWER.startswith(text)
        assert chat.model.can_send("next")

    def test_reading_a_long_prompt_is_told(self, chat: Chat, qtbot: QtBot) -> None:
        with qtbot.waitSignal(chat.model.answer_closed, timeout=10_000):
            chat.model.send("slow prefill")
        told = [getattr(prefill, "processed_tokens", None) for prefill in chat.prefills]
        assert 512 in told
        assert 900 not in told, "a prompt read whole is no progress any more"

    def test_what_was_known_of_a_prompt_is_told_as_soon_as_it_takes_a_while(self, chat: Chat, qtbot: QtBot) -> None:
        with qtbot.waitSignal(chat.model.answer_closed, timeout=10_000) as closed:
            chat.model.send("known prompt")
        first, *later = chat.prefills
        assert first == Prefill(2008, 2051, 0.0, cached_tokens=2008), "before anything more of it is read"
        assert later == [Prefill(2030, 2051, 450.0, cached_tokens=2008)]
        assert closed.args[0].finished.cached_tokens == 2008
        assert chat.trace.final.read_tokens == 43

    def test_it_is_told_though_the_request_had_to_wait(self, chat: Chat, qtbot: QtBot) -> None:
        with qtbot.waitSignal(chat.model.answer_closed, timeout=10_000):
            chat.model.send("late known prompt")
        assert chat.prefills[:2] == [None, Prefill(2008, 2051, 0.0, cached_tokens=2008)]

    def test_what_was_known_of_one_prompt_is_not_told_of_the_next(self, chat: Chat, qtbot: QtBot) -> None:
        chat.model.send("known prompt")
        qtbot.waitUntil(lambda: bool(chat.prefills), timeout=5_000)
        chat.model.stop()
        chat.prefills.clear()
        chat.model.send("late known prompt")
        qtbot.waitUntil(lambda: bool(chat.prefills), timeout=5_000)
        assert chat.prefills == [None]
        chat.model.stop()

    def test_a_fault_keeps_the_text_and_can_be_asked_again(self, chat: Chat, qtbot: QtBot) -> None:
        with qtbot.waitSignal(chat.model.problem_raised, timeout=10_000):
            chat.model.send("drop")
        turn = chat.model.conversation.turns[0]
        assert turn.answer.state == "failed"
        assert turn.answer.text
        with qtbot.waitSignal(chat.model.path_changed, timeout=5_000):
            chat.model.ask_again()
        assert len(chat.model.conversation.turns) == 1
        assert len(chat.model.conversation.turns[0].asked.answers.all) == 2, "the interrupted one stays"

    def test_killed_while_answering(self, chat: Chat, qtbot: QtBot) -> None:
        chat.model.send("slow")
        answer = chat.model.open_answer
        assert answer is not None
        qtbot.waitUntil(lambda: bool(answer.text), timeout=5_000)
        os.kill(chat.engine.pid, signal.SIGKILL)
        # That the connection is lost may be told first, while the engine is not yet known to be gone.
        told = [lambda: bool(chat.problems) and "running again" in chat.problems[-1].title, chat.is_ready]
        qtbot.waitUntil(lambda: all(one() for one in told), timeout=20_000)
        assert answer.state == "failed"
        assert answer.text
        assert chat.problems[-1].remedy == "retry"
        with qtbot.waitSignal(chat.model.answer_closed, timeout=10_000) as closed:
            assert chat.model.send("hello")
        assert closed.args[0].text == ANSWER

    def test_a_new_chat_forgets(self, chat: Chat, qtbot: QtBot) -> None:
        with qtbot.waitSignal(chat.model.answer_closed, timeout=10_000):
            chat.model.send("hello")
        with qtbot.waitSignal(chat.model.cleared):
            chat.model.start_over()
        assert chat.model.conversation.turns == []
        assert chat.trace.rounds == []

    def test_the_engine_can_be_started_again(self, chat: Chat, qtbot: QtBot) -> None:
        pid = chat.engine.pid
        chat.model.restart_engine()
        qtbot.waitUntil(chat.is_ready, timeout=10_000)
        assert chat.engine.pid != pid
        assert chat.problems == []
