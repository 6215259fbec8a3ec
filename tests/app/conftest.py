"""The window is tested offscreen, against the scripted engine of `stand_in.py`."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import shiboken6
from pytestqt.qtbot import QtBot

from app.engine.process import EngineProcess, EngineState
from app.store import Store
from app.window.frame import MainWindow
from app.window.memory import WindowMemory
from app.window.workspace import build_window
from tests.app.closing import close_for_good

STAND_IN = Path(__file__).parent / "stand_in.py"
EngineFactory = Callable[..., EngineProcess]


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Everything here drives Qt. The offscreen platform warns of size hints and raising: not ours to mend."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gui)
            item.add_marker(pytest.mark.qt_log_ignore("does not support (propagateSizeHints|raise)", extend=True))


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKAHEAD_THEME", "light")


@pytest.fixture
def make_engine(qtbot: QtBot) -> Iterator[EngineFactory]:
    """Makes EngineProcesses that run the stand-in; all are stopped at the end."""
    engines: list[EngineProcess] = []

    def make(*options: str) -> EngineProcess:
        def command(port: int, parent_pid: int) -> list[str]:
            return [sys.executable, "-S", str(STAND_IN), str(port), "--parent-pid", str(parent_pid), *options]

        engines.append(EngineProcess(command, backoff_ms=(50,)))
        return engines[-1]

    yield make
    for engine in engines:
        if shiboken6.isValid(engine):
            engine.stop()


@pytest.fixture
def engine(make_engine: EngineFactory, qtbot: QtBot) -> EngineProcess:
    """The stand-in, ready."""
    engine = make_engine()
    addresses: list[object] = []
    engine.address_changed.connect(addresses.append)
    engine.start()
    qtbot.waitUntil(lambda: engine.state is EngineState.READY, timeout=10_000)
    engine.setProperty("address", addresses[-1])
    return engine


@pytest.fixture
def window(make_engine: EngineFactory, qtbot: QtBot, tmp_path: Path) -> Iterator[MainWindow]:
    """The whole window with the stand-in, ready to be asked."""
    store = Store(tmp_path / "chats.sqlite3")
    window = build_window(make_engine(), WindowMemory(tmp_path / "window.ini"), store)
    window.show()
    window.engine.start()
    qtbot.waitUntil(lambda: window.engine.state is EngineState.READY and bool(window.chat.model), timeout=10_000)
    yield window
    close_for_good(window)
