"""The view models, without a widget."""

import os
import signal
from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot

from app.chat.session import ChatViewModel
from app.engine.client import EngineClient
from app.engine.problem import Problem
from app.engine.process import EngineState
from app.engine.protocol import DraftedToken, EmittedToken, Finished, Round
from app.engine.request import Settings
from app.speculation.trace import TraceViewModel
from app.store.conversation import Answer
from tests.app.conftest import EngineFactory
from tests.app.stand_in import ANSWER


def make_round(index: int, num_accepted: int, num_drafted: int, round_ms: float = 100.0) -> Round:
    drafted = [DraftedToken("x", 0.5, 0.5, "accepted") for _ in range(num_accepted)]
    drafted += [DraftedToken("y", 0.1, 0.5, "rejected")][: num_drafted - num_accepted]
    drafted += [DraftedToken("z", None, 0.5, "untested") for _ in range(num_drafted - len(drafted))]
    emitted = [EmittedToken("x", "accepted", 0.5, 0.5, i) for i in range(num_accepted)]
    emitted += [EmittedToken("w", "bonus" if num_accepted == num_drafted else "correction", 0.5, None, 9)]
    return Round(index, num_drafted, 4, tuple(drafted), tuple(emitted), 10, 80, round_ms)


@pytest.mark.usefixtures("qapp")
class TestTrace:
    def test_nothing_is_claimed_before_the_first_round(self) -> None:
        trace = TraceViewModel()
        assert (trace.tokens_per_second, trace.tokens_per_round, trace.acceptance_rate, trace.passes_saved) == (
            None,
        ) * 4

    def test_the_figures_follow_from_the_rounds(self) -> None:
        trace = TraceViewModel()
        trace.add(make_round(0, num_accepted=3, num_drafted=3))
        trace.add(make_round(1, num_accepted=1, num_drafted=4))
        assert trace.tokens_per_round == pytest.approx(3.0)  # (4 + 2) / 2
        assert trace.tokens_per_second == pytest.approx(30.0)  # 6 tokens in 0.2 s
        assert trace.acceptance_rate == pytest.approx(4 / 5)  # the two after the rejection were never tested
        assert trace.passes_saved == 4

    def test_mostly_parked_is_told_once_there_are_rounds_enough(self) -> None:
        trace = TraceViewModel()
        parked = replace(make_round(0, 0, 0), is_parked=True)
        for _ in range(7):
            trace.add(parked)
        assert not trace.is_parked, "too early to say"
        trace.add(parked)
        assert trace.is_parked
        for _ in range(8):
            trace.add(make_round(1, 3, 3))
        assert not trace.is_parked, "half is not most"
        trace.show(None)
        assert trace.tally.num_parked == 0

    @pytest.mark.parametrize(
        ("stats", "is_lossy"), [({}, False), ({"lossless": True}, False), ({"lossless": False}, True)]
    )
    def test_lossy_is_what_the_engine_says_is(self, stats: dict, is_lossy: bool) -> None:
        trace = TraceViewModel()
        assert not trace.is_lossy
        trace.finish(Finished("stop", 1, 1, 1, 1.0, stats))
        assert trace.is_lossy == is_lossy

    def test_another_answer_replaces_the_figures(self, qtbot: QtBot) -> None:
        trace = TraceViewModel()
        trace.add(make_round(0, 3, 3))
        with qtbot.waitSignal(trace.reset):
            trace.show(Answer(seed=1, rounds=[make_round(0, 0, 2)]))
        assert trace.tokens_per_round == 1

    @pytest.mark.parametrize(("value", "expected"), [(1.5, 1.5), (None, None), ("fast", None)])
    def test_a_speedup_is_measured_or_not_told(self, value: object, expected: float | None) -> None:
        trace = TraceViewModel()
        trace.finish(Finished("stop", 1, 1, 1, 1.0, {"speedup": value}))
        assert trace.speedup is None, "nothing was drafted, so nothing was gained or lost"
        trace.add(make_round(0, 3, 3))
        assert trace.speedup == expected

    def test_the_engines_own_numbers_replace_ours(self) -> None:
        trace = TraceViewModel()
        trace.add(make_round(0, 3, 3))
        stats = {"tokens_per_second": 12.5, "mean_accepted_length": 2.5, "target_passes_saved": 9}
        trace.finish(Finished("stop", 1, 1, 1, 1.0, stats))
        assert (trace.tokens_per_second, trace.tokens_per_round, trace.passes_saved) == (12.5, 2.5, 9)
        assert trace.acceptance_rate == 1.0


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
        chat.model.send("slow")
        with qtbot.waitSignal(chat.model.cleared):
            chat.model.start_over()
        assert chat.model.conversation.turns == []
        assert chat.trace.rounds == []
        assert not chat.client.is_busy

    def test_the_engine_can_be_started_again(self, chat: Chat, qtbot: QtBot) -> None:
        pid = chat.engine.pid
        chat.model.restart_engine()
        qtbot.waitUntil(chat.is_ready, timeout=10_000)
        assert chat.engine.pid != pid
        assert chat.problems == []
