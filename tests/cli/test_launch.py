"""`make run`: the window where there is a display, else the terminal, and one line that says which and why."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlx_spec.cli import launch
from mlx_spec.cli.terminal.prompt_file import read_prompt_file
from mlx_spec.machine.resources import resources_folder


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that launch starts, without the interpreter; each ends with status 0."""
    return record(monkeypatch, {})


def record(monkeypatch: pytest.MonkeyPatch, statuses: dict[str, int]) -> list[list[str]]:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command[1:])
        return subprocess.CompletedProcess(command, statuses.get(command[2], 0))

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def display(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv("DISPLAY", value)


def test_a_display_opens_the_window(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    display(monkeypatch, ":0")
    assert launch.main() == 0
    assert started == [["-m", "app.main"]]
    assert capsys.readouterr().err == ""


def test_without_a_display_the_terminal_answers(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    display(monkeypatch, None)
    assert launch.main() == 0
    assert started == [["-m", "mlx_spec.cli", "generate", "--file", str(resources_folder() / launch.PROMPT)]]
    why, question = (line for line in capsys.readouterr().err.splitlines() if line)
    assert "no display" in why
    assert question == read_prompt_file(resources_folder() / launch.PROMPT).text.strip()


@pytest.mark.parametrize("status", [-signal.SIGABRT, 1], ids=["Qt aborts", "a library is missing"])
def test_a_window_that_fails_at_once_gives_way_to_the_terminal(
    status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    display(monkeypatch, ":7")
    started = record(monkeypatch, {"app.main": status})
    assert launch.main() == 0
    assert [command[1] for command in started] == ["app.main", "mlx_spec.cli"]
    assert "could not start" in capsys.readouterr().err


def test_a_window_that_fails_later_says_so_by_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    display(monkeypatch, ":0")
    monkeypatch.setattr(launch, "STARTUP_SECONDS", 0.0)
    started = record(monkeypatch, {"app.main": 4})
    assert launch.main() == 4
    assert len(started) == 1


@pytest.mark.parametrize("shown", [":0", None])
def test_ctrl_c_waits_for_what_runs_and_is_told_by_the_status(
    shown: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []

    def interrupted(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command[2])
        signal.raise_signal(signal.SIGINT)  # that this goes on means: nothing was raised, and so nothing is killed
        return subprocess.CompletedProcess(command, -signal.SIGINT)

    display(monkeypatch, shown)
    monkeypatch.setattr(subprocess, "run", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert launch.main() == 130
    assert commands == ["app.main" if shown else "mlx_spec.cli"], "and nothing else is begun"
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, False),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"SSH_CONNECTION": "a b", "DISPLAY": "localhost:10.0"}, True),
        ("darwin", {}, True),
        ("darwin", {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}, False),
    ],
)
def test_where_a_window_can_show(
    monkeypatch: pytest.MonkeyPatch, platform: str, environment: dict[str, str], expected: bool
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "environ", environment)
    assert launch.has_display() is expected


def test_the_prompt_that_it_answers_is_there() -> None:
    path: Path = resources_folder() / launch.PROMPT
    assert read_prompt_file(path).text
