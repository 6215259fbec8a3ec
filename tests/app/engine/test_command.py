"""Commands beside the engine: they end with the window, and may sweep up before they do."""

import os
import sys
from pathlib import Path

import psutil
import pytest
from PySide6.QtCore import QProcess
from pytestqt.qtbot import QtBot

from app.engine import command
from app.engine.command import CommandProcess

SWEEPING = """
import os, signal, sys, threading
def sweep(*_):
    with open(sys.argv[1], "w") as file:
        file.write("swept")
    sys.exit(143)
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2] == "deaf" else sweep)
print("ready", os.environ["LOOKAHEAD_PARENT_PID"], flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize(("kind", "swept"), [("tidy", True), ("deaf", False)])
def test_who_is_given_up_may_sweep_up_and_is_killed_only_where_that_does_not_help(
    kind: str, swept: bool, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "deaf":
        monkeypatch.setattr(command, "TERMINATE_MS", 100)
    told: list[object] = []

    def heard(*of: object) -> None:
        told.append(of)

    running, mark = CommandProcess(), tmp_path / "mark"
    running.ended.connect(heard)
    running.unstarted.connect(heard)
    running.start([sys.executable, "-c", SWEEPING, str(mark), kind])
    process, said = running.findChild(QProcess), bytearray()

    def ready() -> bool:
        said.extend(process.readAllStandardOutput().data())
        return said.endswith(b"\n")

    qtbot.waitUntil(ready, timeout=60_000)
    assert said.decode().split() == ["ready", str(os.getpid())], "it knows whose end is its own"
    pid = process.processId()
    running.stop()
    assert not psutil.pid_exists(pid)
    assert mark.exists() == swept
    assert told == []
