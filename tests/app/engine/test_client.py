"""The client: an answer in signals, and every way for it to go wrong told in one Problem."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from pytestqt.qtbot import QtBot

from app.engine.client import EngineClient
from app.engine.network import EngineAddress
from app.engine.problem import Problem
from app.engine.process import EngineProcess
from app.engine.protocol import Finished, Prefill, Round
from app.engine.request import Settings, build_request
from tests.app.stand_in import ANSWER, rounds


@dataclass
class Heard:
    """What a client told."""

    text: str = ""
    rounds: list[Round] = field(default_factory=list)
    prefills: list[Prefill] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    num_completed: int = 0

    def add_text(self, text: str) -> None:
        self.text += text

    def complete(self) -> None:
        self.num_completed += 1


@pytest.fixture
def client(engine: EngineProcess) -> Iterator[EngineClient]:
    client = EngineClient(silence_ms=1_000)
    client.set_address(engine.property("address"))
    yield client
    client.cancel()


@pytest.fixture
def heard(client: EngineClient) -> Heard:
    heard = Heard()
    client.text_arrived.connect(heard.add_text)
    client.round_finished.connect(heard.rounds.append)
    client.prefill_progressed.connect(heard.prefills.append)
    client.generation_finished.connect(heard.finished.append)
    client.completed.connect(heard.complete)
    client.failed.connect(heard.problems.append)
    return heard


def ask(client: EngineClient, wish: str) -> None:
    client.ask(build_request([{"role": "user", "content": wish}], "stand-in", Settings(), seed=11))


@pytest.mark.parametrize("wish", ["hello", "odd cuts", "slow prefill"])
def test_a_whole_answer(client: EngineClient, heard: Heard, qtbot: QtBot, wish: str) -> None:
    with qtbot.waitSignal(client.completed, timeout=10_000):
        ask(client, wish)
    assert heard.text == ANSWER
    assert [one.index for one in heard.rounds] == list(range(len(rounds(ANSWER))))
    assert [final.seed for final in heard.finished] == [11]
    assert [prefill.processed_tokens for prefill in heard.prefills] == (
        [256, 512, 900] if wish == "slow prefill" else []
    )
    assert not client.is_busy
    assert heard.problems == []


@pytest.mark.parametrize(
    ("wish", "title", "remedy", "keeps_text"),
    [
        ("error chunk", "could not finish", "retry", True),
        ("nonsense", "could not be read", "retry", True),
        ("drop", "connection to the engine was lost", "retry", True),
        ("die", "connection to the engine was lost", "retry", True),
        ("stall", "went quiet", "restart", True),
        ("bad request", "did not accept", "none", False),
        ("not json", "could not finish", "retry", False),
    ],
)
def test_faults(
    client: EngineClient, heard: Heard, qtbot: QtBot, wish: str, title: str, remedy: str, keeps_text: bool
) -> None:
    with qtbot.waitSignal(client.failed, timeout=10_000):
        ask(client, wish)
    qtbot.wait(50)
    assert len(heard.problems) == 1
    assert title in heard.problems[0].title
    assert heard.problems[0].remedy == remedy
    assert bool(heard.text) == keeps_text
    assert heard.num_completed == 0
    assert not client.is_busy


def test_the_field_that_was_wrong_is_named(client: EngineClient, heard: Heard, qtbot: QtBot) -> None:
    with qtbot.waitSignal(client.failed, timeout=5_000):
        ask(client, "bad request")
    assert heard.problems[0].advice == "temperature is 9, but must be 0 to 2."
    assert "temperature" in heard.problems[0].details


def test_a_wrong_key_is_refused(client: EngineClient, heard: Heard, qtbot: QtBot, engine: EngineProcess) -> None:
    client.set_address(EngineAddress(engine.property("address").url, "wrong"))
    with qtbot.waitSignal(client.failed, timeout=5_000):
        ask(client, "hello")
    assert "refused" in heard.problems[0].title


def test_cancel_is_silent_and_a_new_answer_starts(client: EngineClient, heard: Heard, qtbot: QtBot) -> None:
    ask(client, "slow")
    qtbot.waitUntil(lambda: len(heard.rounds) >= 3, timeout=5_000)
    client.cancel()
    num_rounds = len(heard.rounds)
    qtbot.wait(150)
    assert len(heard.rounds) == num_rounds
    assert (heard.problems, heard.num_completed) == ([], 0)
    heard.text = ""
    with qtbot.waitSignal(client.completed, timeout=5_000):
        ask(client, "hello")
    assert heard.text == ANSWER


def test_the_model_is_named(client: EngineClient, qtbot: QtBot) -> None:
    with qtbot.waitSignal(client.model_named, timeout=5_000) as named:
        client.fetch_model()
    assert named.args == ["stand-in"]
