"""How far something is: bars for a terminal, and lines, or nothing, where nobody watches one."""

import re
from types import SimpleNamespace

import pytest

from mlx_spec.cli.terminal import progress
from mlx_spec.cli.terminal.progress import StageProgress


def test_lines_tell_of_stages_without_a_terminal_and_only_where_they_are_wanted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 2.0, 7.0, 8.0, 9.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with StageProgress(lines=True) as told:
        for fraction in (0.0, 0.1, 0.11, 0.29, 0.5, 1.0):
            told.tell("measuring", fraction)
    lines = capsys.readouterr().err.splitlines()
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in lines] == [
        "measuring: 0 %",
        "measuring: 20 %",
        "measuring: 100 %",
    ]
    with StageProgress() as silent:
        silent.tell("measuring", 0.5)
    assert "50 %" not in capsys.readouterr().err


def test_a_file_gets_none_and_no_empty_line(capsys: pytest.CaptureFixture[str]) -> None:
    with StageProgress() as progress:
        progress.tell("reading weights", 0.5)
        progress.pause()
        progress.tell("reading weights", 1.0)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with StageProgress() as progress:
        progress.tell("reading weights", 0.5)
        progress._progress.refresh()
    assert "reading weights" in capsys.readouterr().err
