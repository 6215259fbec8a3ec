"""Bars are for a terminal."""

import pytest

from mlx_spec.cli.terminal.progress import StageProgress


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
