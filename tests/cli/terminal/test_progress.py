"""How far something is, where nobody watches a terminal."""

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
