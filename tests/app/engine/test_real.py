"""The window's models against the real server: its protocol is what ours speaks, and no process is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from pytestqt.qtbot import QtBot

from app.chat.shown import ChatViewModel
from app.chat.steering import NEXT_ROUND, SteeringViewModel
from app.engine.client import EngineClient
from app.engine.process import EngineProcess
from app.engine.request import Settings, build_request
from app.engine.speculation_client import SpeculationClient
from app.speculation.race import RaceViewModel
from app.speculation.trace import TraceViewModel
from app.store.conversation import Answer

ROOT = Path(__file__).parents[3]
START_MS = 30_000
NUM_TOKENS = 60
BROKEN = "\ufffd"


def tiny_engine(port: int, parent_pid: int) -> list[str]:
    return [sys.executable, "-m", "tests.app.tiny_engine", str(port), str(parent_pid)]


@pytest.fixture(scope="module")
def engine(qapp: object) -> Iterator[EngineProcess]:
    """One process for this file; a test may kill it, for it starts again."""
    here = Path.cwd()
    os.chdir(ROOT)
    engine = EngineProcess(tiny_engine, backoff_ms=(50,))
    yield engine
    engine.stop()
    os.chdir(here)


@pytest.fixture(scope="module")
def only_chat(engine: EngineProcess) -> ChatViewModel:
    chat = ChatViewModel(engine, EngineClient(engine), TraceViewModel(engine))
    engine.start()
    return chat


@pytest.fixture
def chat(only_chat: ChatViewModel, qtbot: QtBot) -> ChatViewModel:
    only_chat.start_over()
    qtbot.waitUntil(lambda: only_chat.can_send("?"), timeout=START_MS)
    return only_chat


def answer(chat: ChatViewModel, qtbot: QtBot, **settings: object) -> Answer:
    chat.settings = Settings(max_tokens=NUM_TOKENS, **settings)
    with qtbot.waitSignal(chat.answer_closed, timeout=30_000) as closed:
        chat.send("Why is the sky blue? Почему? 为什么?")
    chat.start_over()
    return closed.args[0]


def test_the_same_seed_brings_the_same_words_however_far_it_looks_ahead(chat: ChatViewModel, qtbot: QtBot) -> None:
    ways = ({}, {"lookahead": 3}, {"drafter": "none"}, {"drafter": "ngram"}, {"drafter": "model"})
    looked, fixed, plain, ngram, model = (answer(chat, qtbot, seed=5, temperature=0.8, **way) for way in ways)
    assert looked.text == fixed.text == plain.text == ngram.text == model.text != ""
    assert answer(chat, qtbot, seed=6, temperature=0.8).text != looked.text
    kinds = {token.kind for one in fixed.rounds for token in one.emitted}
    assert {"accepted", "bonus"} <= kinds <= {"accepted", "bonus", "correction", "plain"}
    assert {token.kind for one in plain.rounds for token in one.emitted} == {"plain"}
    for one, drafters in ((looked, {"model", "ngram"}), (plain, set()), (ngram, {"ngram"}), (model, {"model"})):
        assert {r.drafter for r in one.rounds if r.drafter} <= drafters
        assert all(r.reason for r in one.rounds)
    for one in (looked, fixed, plain):
        assert one.state == "finished"
        assert one.seed == 5
        joined = "".join(token.text for r in one.rounds for token in r.emitted)
        # A random model may be cut inside a character, whose rest then belongs to no token.
        assert joined.rstrip(BROKEN) == one.text.rstrip(BROKEN)


def test_a_refused_setting_is_named(chat: ChatViewModel, qtbot: QtBot) -> None:
    problems = []
    chat.problem_raised.connect(problems.append)
    assert answer(chat, qtbot, temperature=-1).state == "failed"
    assert "temperature" in problems[0].advice + problems[0].details
    assert answer(chat, qtbot).state == "finished"


def test_stopped_it_is_free_at_once(chat: ChatViewModel, qtbot: QtBot) -> None:
    chat.settings = Settings(max_tokens=1_900)
    chat.send("Count.")
    open_answer = chat.open_answer
    assert open_answer is not None
    qtbot.waitUntil(lambda: len(open_answer.rounds) > 3, timeout=10_000)
    chat.stop()
    chat.start_over()
    assert answer(chat, qtbot).state == "finished"
    address = chat.session.client._network.address
    told = httpx.get(f"{address.url}/v1/batch", headers={"Authorization": f"Bearer {address.api_key}"}).json()
    assert told["running"] == told["waiting"] == []
    assert told["metrics"]["requests"]["cancelled"] == 1, "it did not write on to its end"


def test_killed_while_answering(chat: ChatViewModel, qtbot: QtBot, engine: EngineProcess) -> None:
    problems = []
    chat.problem_raised.connect(problems.append)
    chat.settings = Settings(max_tokens=1_900)
    chat.send("Count.")
    open_answer = chat.open_answer
    assert open_answer is not None
    qtbot.waitUntil(lambda: bool(open_answer.text), timeout=10_000)
    os.kill(engine.pid, signal.SIGKILL)
    qtbot.waitUntil(
        lambda: bool(problems) and "running again" in problems[-1].title and chat.can_send("?"), timeout=START_MS
    )
    assert open_answer.state == "failed"
    assert open_answer.text
    chat.start_over()
    assert answer(chat, qtbot).state == "finished"


PARENT = """
import sys
from PySide6.QtCore import QCoreApplication
from app.engine.process import EngineProcess
from tests.app.engine.test_real import tiny_engine
app = QCoreApplication([])
engine = EngineProcess(tiny_engine)
engine.state_changed.connect(lambda state, _: print(state.name, engine.pid, flush=True))
engine.gave_up.connect(lambda _: app.exit(1))
engine.start()
app.exec()
"""


def test_a_killed_window_takes_its_engine_along() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        line = next(line for line in parent.stdout if line.startswith("READY"))
        child = int(line.split()[1])
        assert psutil.pid_exists(child)
        parent.kill()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(child)


def test_alternatives_plain_steps_and_parked_rounds_are_told(chat: ChatViewModel, qtbot: QtBot) -> None:
    rounds = answer(chat, qtbot, temperature=0.7, seed=11, drafter="model", lookahead=3).rounds
    for token in (token for one in rounds for token in one.emitted):
        assert 1 <= len(token.target_top) <= 3
        assert token.token_id is not None
    assert any(token.draft_top for one in rounds for token in one.emitted)
    assert not any(one.is_parked for one in rounds), "a fixed length never parks"


def test_a_running_answer_is_steered_and_keeps_its_words(chat: ChatViewModel, qtbot: QtBot) -> None:
    """The real engine takes the change at a later round of the same answer."""
    speculation = SpeculationClient(chat.session.client)
    speculation.set_address(chat.session.client._network.address)
    steering = SteeringViewModel(chat, speculation)
    told: list[str] = []
    steering.told.connect(told.append)
    whole = answer(chat, qtbot, temperature=0.7, seed=5, lookahead=4, drafter="model")
    chat.settings = Settings(max_tokens=NUM_TOKENS, temperature=0.7, seed=5, lookahead=4, drafter="model")
    steer = chat.session.client.round_finished.connect(
        lambda one: steering.change({"lookahead": 2}) if one.index == 0 else None
    )
    with qtbot.waitSignal(chat.answer_closed, timeout=30_000) as closed:
        chat.send("Why is the sky blue? Почему? 为什么?")
    chat.session.client.disconnect(steer)
    qtbot.waitUntil(lambda: bool(told), timeout=5_000)
    steered = closed.args[0]
    assert steered.text == whole.text
    if told == [NEXT_ROUND]:  # else the answer was over before the change arrived, and the engine said so
        assert steered.rounds[0].lookahead == 4
    else:
        assert "under way" in told[0]


def test_a_race_on_the_real_engine_has_the_same_words(chat: ChatViewModel, qtbot: QtBot) -> None:
    client = EngineClient(chat.session.client)
    client.set_address(chat.session.client._network.address)
    race = RaceViewModel(client)
    settings = Settings(max_tokens=NUM_TOKENS, temperature=0.9, lookahead=4)
    with qtbot.waitSignal(race.decided, timeout=30_000):
        race.start(build_request([{"role": "user", "content": "Tell me more."}], "tiny", settings, 3))
    assert race.verdict is not None
    assert race.verdict.is_equal, race.verdict.words
    assert race.lanes["speculative"].tally.num_drafting > 0
    assert race.lanes["plain"].tally.num_drafting == 0


def test_the_machine_is_asked_about(chat: ChatViewModel, qtbot: QtBot) -> None:
    speculation = SpeculationClient(chat.session.client)
    speculation.set_address(chat.session.client._network.address)
    with qtbot.waitSignal(speculation.machine_told, timeout=10_000) as told:
        speculation.fetch_machine()
    assert told.args[0].limit is None, "the tiny engine measures no memory"
