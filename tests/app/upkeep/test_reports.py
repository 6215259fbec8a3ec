"""Reports of what went wrong: files to read, which keep what is nobody's business to themselves."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.engine.problem import Problem
from app.upkeep import ReportFolder
from app.window.logs import catch_errors

CRASH = """
import faulthandler, sys
from pathlib import Path
from app.upkeep.reports import ReportFolder
folder = Path(sys.argv[1])
print(ReportFolder(folder, folder / "none.log").watch_for_the_end())
if sys.argv[2] == "crash":
    faulthandler._sigsegv()
"""


def test_a_report_says_what_and_where_and_not_who(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "Änne Geheim"))
    log = tmp_path / "lookahead.log"
    log.write_text("".join(f"line {number}\n" for number in range(1_000)) + "Authorization: Bearer abcdefgh12345\n")
    reports = ReportFolder(tmp_path / "reports", log)
    path = reports.write("It broke.", f"File {tmp_path / 'Änne Geheim'}/x.py\ntoken hf_abcdefghijkl\nValueError: why")
    assert path is not None
    text = path.read_text("utf-8")
    assert text.startswith("It broke.\n")
    assert "File ~/x.py" in text
    assert "ValueError: why" in text
    assert "Python 3" in text
    assert "line 999" in text
    assert "line 700\n" not in text, "the end of the log, not all of it"
    for secret in ("Geheim", "abcdefgh12345", "hf_abcdefghijkl"):
        assert secret not in text


def test_the_newest_twenty_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.upkeep.reports.time.strftime", lambda _: "2026-11-30-120000")  # all in one second
    reports = ReportFolder(tmp_path, tmp_path / "none.log")
    paths = [reports.write(f"Number {number}.", "") for number in range(23)]
    assert len(set(paths)) == 23, "many in one second"
    assert reports.all() == list(reversed(paths))[:20]


def test_where_nothing_can_be_written_nothing_is_raised(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    reports = ReportFolder(tmp_path / "file" / "reports", tmp_path / "none.log")
    assert reports.write("It broke.", "") is None
    assert reports.watch_for_the_end() is None


def test_an_error_that_nobody_caught_leaves_one_and_the_window_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    told: list[Problem] = []
    reports = ReportFolder(tmp_path, tmp_path / "none.log")
    catch_errors(told.append, reports)
    try:
        raise ValueError("the reason")
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    (path,) = reports.all()
    assert str(path) in told[0].details
    assert told[0].remedy == "report"
    assert "the reason" in path.read_text("utf-8")


def test_a_process_that_ended_without_a_word_is_told_at_the_next_start(tmp_path: Path) -> None:
    def start(how: str) -> str:
        command = [sys.executable, "-c", CRASH, str(tmp_path), how]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode == 0) is (how == "end")
        return done.stdout.strip()

    assert start("crash") in ("None", "")  # its output may be lost with it
    report = Path(start("end"))
    assert "Segmentation fault" in report.read_text("utf-8")
    assert start("end") == "None", "told once"
