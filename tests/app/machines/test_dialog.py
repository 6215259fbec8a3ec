"""The page of machines over commands that are programs of the tests: found, joined, chosen, offered."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QObject
from pytestqt.qtbot import QtBot

from app.engine.pages.group.client import GroupClient
from app.engine.pages.group.talking import TalkingCommand
from app.engine.process import EngineProcess
from app.look.theme import LIGHT
from app.machines import Asked, MachinesViewModel, several
from app.machines.views import MachinesDialog
from app.window.frame import MainWindow
from app.window.memory import WindowMemory, engine_options
from app.window.preferences import Preferences
from tests.app.machines.test_lines import FOUND, GROUP, KNOWN

# What `mlx-spec hosts …` would say: its arguments choose, and its input is told back.
PROGRAM = """
import json, sys, threading
def say(**told): print(json.dumps(told), flush=True)
what = sys.argv[2]
if what == "list":
    print("no object", flush=True)
    say(name="here", found=%(found)s, known=%(known)s)
    threading.Event().wait()
if what == "join":
    say(event="code", name="mini", code="012345")
    if json.loads(sys.stdin.readline())["confirmed"]:
        say(event="joined", name="mini")
    else:
        sys.exit("mlx-spec: mini was not joined.")
if what == "offer":
    say(event="offering", name="here", unannounced=None)
    say(event="asked", name="laptop", code="543210")
    said = json.loads(sys.stdin.readline())
    message = "laptop may use this machine from now on." if said["confirmed"] else str(said)
    say(event="joined" if said["confirmed"] else "refused", name="laptop", message=message)
    say(event="working", name="laptop", message="laptop uses this machine now.")
    sys.stdin.readline()
"""


class Scripted(TalkingCommand):
    """Runs the program in the place of `mlx-spec`."""

    def start(self, *arguments: str, command: object = None) -> None:
        program = PROGRAM % {"found": json.dumps(FOUND), "known": json.dumps(KNOWN)}
        super().start(command=[sys.executable, "-S", "-c", program, *arguments])


@pytest.fixture
def memory(tmp_path: Path) -> WindowMemory:
    return WindowMemory(tmp_path / "window.ini")


@pytest.fixture
def machines(memory: WindowMemory, qtbot: QtBot) -> Iterator[MachinesViewModel]:
    def scripted(parent: QObject) -> TalkingCommand:
        return Scripted(parent)

    machines = MachinesViewModel(memory, GroupClient(), talking=scripted)
    yield machines
    machines.stop()


@pytest.fixture
def dialog(machines: MachinesViewModel, qtbot: QtBot) -> MachinesDialog:
    dialog = MachinesDialog(machines, LIGHT)
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.waitUntil(lambda: len(dialog.lines) == 4, timeout=10_000)
    return dialog


def line(dialog: MachinesDialog, name: str) -> Any:
    return next(one for one in dialog.lines.values() if one.line.name == name)


def test_one_that_is_joined_is_added_and_removed(
    dialog: MachinesDialog, machines: MachinesViewModel, memory: WindowMemory
) -> None:
    line(dialog, "studio").button.click()
    assert line(dialog, "studio").button.text() == "Remove"
    assert memory.group_hosts == ("studio",)
    line(dialog, "studio").button.click()
    assert line(dialog, "studio").button.text() == "Add"
    assert memory.group_hosts == ()


def test_one_that_offers_itself_is_joined_where_the_codes_are_the_same(
    dialog: MachinesDialog, machines: MachinesViewModel, qtbot: QtBot
) -> None:
    assert not dialog.code.isVisible()
    line(dialog, "mini").button.click()
    qtbot.waitUntil(dialog.code.isVisible, timeout=10_000)
    assert dialog.code.code.text() == "012 345"
    assert "mini shows a code" in dialog.code.words.text()
    assert not line(dialog, "mini").button.isEnabled(), "one at a time"
    dialog.code.same.click()
    qtbot.waitUntil(lambda: machines.chosen == ("mini",), timeout=10_000)
    assert not dialog.code.isVisible()


def test_where_they_differ_it_is_not(dialog: MachinesDialog, machines: MachinesViewModel, qtbot: QtBot) -> None:
    line(dialog, "mini").button.click()
    qtbot.waitUntil(dialog.code.isVisible, timeout=10_000)
    dialog.code.other.click()
    qtbot.waitUntil(dialog.problem.isVisible, timeout=10_000)
    assert dialog.problem.text() == "mini was not joined."
    assert machines.chosen == ()


@pytest.mark.parametrize(
    ("typed", "chosen", "problem"),
    [
        ("  10.0.0.9 ", ("10.0.0.9",), ""),
        ("a,b", (), "“a,b” is no name of a machine."),
        ("-oProxyCommand", (), "“-oProxyCommand” is no name of a machine."),
        ("HERE", (), "HERE is in the group already."),
        ("", (), ""),
    ],
)
def test_a_name_is_typed(
    typed: str, chosen: tuple[str, ...], problem: str, dialog: MachinesDialog, machines: MachinesViewModel
) -> None:
    dialog.name.setText(typed)
    dialog.add.click()
    assert (machines.chosen, machines.problem) == (chosen, problem)
    assert (dialog.name.text() == "") == (not problem)


def test_who_asks_for_this_machine_is_answered_by_whoever_is_here(
    dialog: MachinesDialog, machines: MachinesViewModel, memory: WindowMemory, qtbot: QtBot
) -> None:
    with qtbot.waitSignal(machines.asked, timeout=10_000):
        dialog.offered.click()
    assert memory.is_offered
    assert machines.code == Asked("laptop", "543210", True)
    assert "laptop asks to use this Mac" in dialog.code.words.text()
    assert dialog.code.never.isVisible()
    with qtbot.waitSignal(machines.used, timeout=10_000) as used:
        dialog.code.same.click()
    assert used.args == ["laptop uses this Mac now."]
    qtbot.waitUntil(lambda: "laptop uses" in dialog.note.text(), timeout=10_000)
    dialog.offered.click()
    assert not memory.is_offered
    assert dialog.note.text() == ""


def test_who_asks_may_be_told_never(dialog: MachinesDialog, machines: MachinesViewModel, qtbot: QtBot) -> None:
    notes: list[str] = []
    machines.changed.connect(lambda: notes.append(machines.note))
    with qtbot.waitSignal(machines.asked, timeout=10_000):
        dialog.offered.click()
    dialog.code.never.click()
    qtbot.waitUntil(lambda: "{'confirmed': False, 'never': True}" in notes, timeout=10_000)
    assert machines.code is None


def test_an_offer_that_ends_by_itself_is_made_again_until_it_is_switched_off(
    dialog: MachinesDialog, machines: MachinesViewModel, memory: WindowMemory, qtbot: QtBot
) -> None:
    machines._offer_again.setInterval(0)
    with qtbot.waitSignal(machines.asked, timeout=10_000):
        dialog.offered.click()
    with qtbot.waitSignal(machines.asked, timeout=10_000):
        machines._offering.ended.emit(False, "Port 8764 cannot be listened on.")
        assert memory.is_offered
        assert dialog.offered.isChecked()
        assert dialog.note.text() == "Port 8764 cannot be listened on."
        assert machines.code is None
    machines._offering.ended.emit(False, "")
    dialog.offered.click()
    assert not machines._offer_again.isActive()
    assert not memory.is_offered


def test_the_state_of_the_group_is_polled_and_shown(dialog: MachinesDialog, machines: MachinesViewModel) -> None:
    machines.add("studio")
    machines.add("mini")
    from app.engine.pages.group.records import parse_group

    machines._client.told.emit(parse_group(GROUP | {"stage": "ready"}))
    assert line(dialog, "here").share.value() == 250
    assert line(dialog, "mini").state.property("role") == "wrong"
    assert "one to the next" in dialog.way.text()
    machines.forget_group()
    assert line(dialog, "mini").state.text() == "not started yet"


def test_nobody_on_the_network_is_told_with_what_to_do(machines: MachinesViewModel, qtbot: QtBot) -> None:
    dialog = MachinesDialog(machines, LIGHT)
    qtbot.addWidget(dialog)
    dialog.refresh()
    assert not dialog.empty.isHidden()
    assert "another one" in dialog.empty.text()


@pytest.mark.parametrize(
    ("told", "checked", "problem"),
    [
        ({"problems": [], "slowest": {"round_trip_ms": 0.44, "bytes_per_s": 1.2e9}}, "0.4 ms, 1,200 MB/s", ""),
        ({"problems": ["studio is asleep.", "mini is old."], "slowest": None}, "", "studio is asleep.\nmini is old."),
        (None, "", "no such model"),
    ],
)
def test_the_machines_are_looked_at(
    told: object,
    checked: str,
    problem: str,
    dialog: MachinesDialog,
    machines: MachinesViewModel,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: QtBot,
) -> None:
    """What is in the way ends the command with another code, and is told on stdout all the same."""
    asked: list[tuple[str, ...]] = []
    program = "import sys; print(sys.argv[1]) if sys.argv[1] else sys.exit('mlx-spec: no such model')"
    said = json.dumps(told) if told else ""

    def command(names: Sequence[str]) -> list[str]:
        asked.append(tuple(names))
        return [sys.executable, "-S", "-c", program, said]

    monkeypatch.setattr(several, "check_command", command)
    assert not dialog.check.isVisible()
    machines.add("studio")
    dialog.check.click()
    assert asked == [("here", "studio")]
    assert not dialog.check.isEnabled()
    qtbot.waitUntil(lambda: not machines.is_checking, timeout=10_000)
    assert checked in dialog.checked.text()
    assert dialog.problem.text() == problem
    machines.remove("studio")
    assert dialog.checked.text() == ""


class TestSettings:
    @pytest.fixture
    def settings(self, window: MainWindow, qtbot: QtBot) -> Preferences:
        settings = Preferences(
            window.theme, window.memory, window.engine, window.models.loaded, machines=window.machines.machines
        )
        qtbot.addWidget(settings)
        return settings

    def test_the_engine_starts_again_over_the_machines(self, settings: Preferences, window: MainWindow) -> None:
        started: list[tuple[str, ...]] = []
        window.engine.start = lambda: started.append(window.engine.options)  # type: ignore[method-assign]
        assert not settings.choosing.isEnabled()
        settings.several.setChecked(True)
        assert settings.choosing.isEnabled()
        settings.accept()
        assert settings.wrong.text() == "Choose the machines first."
        window.memory.group_hosts = ("studio", "mini")
        settings.accept()
        ((*_, flag, hosts, backend, ring),) = started
        assert (flag, hosts.split(",")[1:], backend, ring) == ("--hosts", ["studio", "mini"], "--backend", "ring")
        assert engine_options(window.memory) == window.engine.options
        settings.local.setChecked(True)
        settings.accept()
        assert "--hosts" not in started[-1]


def test_the_engine_is_asked_for_its_group_while_somebody_looks(engine: EngineProcess, qtbot: QtBot) -> None:
    """The stand-in has no group, as an engine of one machine has none."""
    client, told = GroupClient(), []
    client.told.connect(told.append)
    engine.connect_client(client)
    client.watch(True)
    qtbot.waitUntil(lambda: bool(told), timeout=10_000)
    client.watch(False)
    assert told[0] is None
