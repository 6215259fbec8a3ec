"""The engine's process: found ready, started again when it dies, given up on, and never left behind."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from pytestqt.qtbot import QtBot

from app.engine.process import CRASH_LIMIT, EngineProcess, EngineState, engine_command
from tests.app.conftest import STAND_IN, EngineFactory


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_states_from_start_to_stop(make_engine: EngineFactory, qtbot: QtBot) -> None:
    engine = make_engine()
    states: list[EngineState] = []
    engine.state_changed.connect(lambda state, _message: states.append(state))
    engine.start()
    qtbot.waitUntil(lambda: engine.state is EngineState.READY, timeout=10_000)
    pid = engine.pid
    assert pid is not None
    engine.stop()
    assert states == [EngineState.STARTING, EngineState.LOADING, EngineState.READY, EngineState.STOPPED]
    assert is_gone(pid)
    assert engine.pid is None


def test_the_key_is_in_the_environment_and_nowhere_else(engine: EngineProcess) -> None:
    key = engine.property("address").api_key
    process = psutil.Process(engine.pid)
    assert process.environ()["LOOKAHEAD_API_KEY"] == key
    assert len(key) >= 32
    assert all(key not in argument for argument in process.cmdline())
    assert key not in repr(engine.property("address"))


def test_killed_it_is_started_again(engine: EngineProcess, qtbot: QtBot) -> None:
    pid, address = engine.pid, engine.property("address")
    problems, addresses = [], []
    engine.crashed.connect(problems.append)
    engine.address_changed.connect(addresses.append)
    os.kill(pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: bool(addresses) and engine.state is EngineState.READY, timeout=10_000)
    assert engine.pid != pid
    assert ["stopped" in problem.title for problem in problems] == [True]
    assert addresses[0].api_key != address.api_key


def test_given_up_after_a_few_crashes_with_its_last_words(make_engine: EngineFactory, qtbot: QtBot) -> None:
    engine = make_engine("--start", "crash")
    crashes: list[object] = []
    engine.crashed.connect(crashes.append)
    with qtbot.waitSignal(engine.gave_up, timeout=15_000) as gave_up:
        engine.start()
    problem = gave_up.args[0]
    assert len(crashes) == CRASH_LIMIT - 1
    assert problem.remedy == "restart"
    assert "The model file is broken" in problem.details
    assert engine.state is EngineState.STOPPED
    engine.start()
    assert engine.state is EngineState.STARTING, "it can be started again by hand"


def test_what_it_refuses_in_a_sentence_is_told_once(make_engine: EngineFactory, qtbot: QtBot) -> None:
    engine = make_engine("--start", "refuse")
    crashes: list[object] = []
    engine.crashed.connect(crashes.append)
    with qtbot.waitSignal(engine.gave_up, timeout=10_000) as gave_up:
        engine.start()
    assert gave_up.args[0].advice == "studio does not answer: wake it."
    assert crashes == []
    assert engine.state is EngineState.STOPPED
    assert engine.pid is None


def test_a_model_that_cannot_be_loaded_is_told_once(make_engine: EngineFactory, qtbot: QtBot) -> None:
    engine = make_engine("--start", "failed")
    with qtbot.waitSignal(engine.gave_up, timeout=10_000) as gave_up:
        engine.start()
    assert gave_up.args[0].advice == "There is no model at /nowhere."
    assert engine.state is EngineState.STOPPED
    assert engine.pid is None


def test_a_program_that_is_not_there(qtbot: QtBot) -> None:
    engine = EngineProcess(lambda port, pid: ["/nowhere/to/be/found"])
    with qtbot.waitSignal(engine.gave_up, timeout=5_000) as gave_up:
        engine.start()
    assert "could not be started" in gave_up.args[0].title
    assert engine.state is EngineState.STOPPED


def test_the_command_names_loopback_and_the_parent() -> None:
    command = engine_command(4711, 42)
    assert command[:3] == [sys.executable, "-m", "mlx_spec.cli"]
    assert command[3:] == ["serve", "--host", "127.0.0.1", "--port", "4711", "--parent-pid", "42", "--anyway"]


def test_the_frozen_app_starts_the_program_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/Applications/Lookahead.app/Contents/MacOS/lookahead")
    assert engine_command(4711, 42)[:2] == ["/Applications/Lookahead.app/Contents/MacOS/mlx-spec", "serve"]


WINDOW = f"""
import signal, sys
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from app.window.workspace import build_window
from app.engine.process import EngineProcess
app = QApplication([])
window = build_window(EngineProcess(lambda port, pid: [sys.executable, "-S", {str(STAND_IN)!r}, str(port)]))
window.show()
window.engine.start()
def tell(state, message):
    print(state.name, window.engine.pid, flush=True)
    if state.name == "READY" and sys.argv[1] == "close":
        QTimer.singleShot(0, window.close)
window.engine.state_changed.connect(tell)
signal.signal(signal.SIGTERM, lambda *_: window.close())
timer = QTimer(interval=50)
timer.timeout.connect(lambda: None)
timer.start()
app.exec()
"""


@pytest.mark.parametrize("how", ["close", "terminate"])
def test_a_quit_leaves_no_child(how: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", WINDOW, how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process:
        line = next(line for line in process.stdout if line.startswith("READY"))
        child = int(line.split()[1])
        if how == "terminate":
            process.terminate()
        process.wait(timeout=10)
    deadline = time.monotonic() + 5
    while not is_gone(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_gone(child)
