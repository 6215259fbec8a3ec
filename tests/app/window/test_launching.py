"""One program for one data folder, its log, and errors that nobody caught."""

import contextlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.engine.problem import Problem
from app.engine.remote import AddressError, parse_address
from app.window.logs import catch_errors, log_file, start_logging
from app.window.single_instance import SingleInstance, instance_name

SECOND = """
import sys
from pathlib import Path
from PySide6.QtCore import QCoreApplication
from app.window.single_instance import SingleInstance
app = QCoreApplication([])
links = [word for word in sys.argv[2:] if "://" in word]
instance = SingleInstance(sys.argv[1], "0.2.0")
print(instance.hand_over([Path(name) for name in sys.argv[2:] if name not in links], links), instance.earlier_version)
"""


def launch(name: str, *paths: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", SECOND, name, *paths], stdout=subprocess.PIPE, text=True)


def test_a_second_launch_hands_its_files_to_the_first(qtbot: QtBot, tmp_path: Path) -> None:
    name = f"lookahead-test-{tmp_path.name}"
    first = SingleInstance(name, "0.2.0")
    first.differed.connect(pytest.fail)
    assert not first.hand_over()
    assert first.listen()
    with qtbot.waitSignal(first.launched, timeout=30_000) as launched:
        second = launch(name, str(tmp_path / "ä b.txt"), "relative.md")
    assert launched.args[0] == (tmp_path / "ä b.txt", Path.cwd() / "relative.md")
    assert second.communicate(timeout=30)[0].strip() == "True 0.2.0"
    with qtbot.waitSignal(first.launched, timeout=30_000) as launched:
        second = launch(name)
    assert launched.args[0] == ()
    second.communicate(timeout=30)


def test_links_are_told_from_paths_and_another_version_is_told_to_both(qtbot: QtBot, tmp_path: Path) -> None:
    first = SingleInstance(f"lookahead-test-{tmp_path.name}", "0.1.0")
    assert first.listen()
    told: list[object] = []
    for signal in (first.linked, first.launched, first.differed):
        signal.connect(told.append)
    second = launch(f"lookahead-test-{tmp_path.name}", "lookahead://ask?text=a", str(tmp_path))
    qtbot.waitUntil(lambda: len(told) == 3, timeout=30_000)
    assert told == [(tmp_path,), "lookahead://ask?text=a", "0.2.0"]
    assert second.communicate(timeout=30)[0].strip() == "True 0.1.0"


def test_another_data_folder_is_another_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = instance_name()
    monkeypatch.setenv("LOOKAHEAD_HOME", str(tmp_path))
    assert instance_name() != here


class TestLog:
    @pytest.fixture
    def log(self) -> Iterator[Path]:
        handler = start_logging()
        assert handler is not None
        yield log_file()
        logger = logging.getLogger("app")
        logger.removeHandler(handler)
        logger.propagate = True
        handler.close()

    def test_it_rotates(self, log: Path) -> None:
        for number in range(6_000):
            logging.getLogger("app.engine").info("%d %s", number, "x" * 1_000)
        sizes = [path.stat().st_size for path in log.parent.iterdir()]
        assert len(sizes) == 4
        assert max(sizes) <= 1_100_000
        assert "5999" in log.read_text()

    def test_an_error_nobody_caught_is_logged_and_told(self, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        told: list[Problem] = []
        catch_errors(told.append)
        try:
            raise ValueError("the reason")
        except ValueError as error:
            sys.excepthook(ValueError, error, error.__traceback__)
        assert "the reason" in told[0].details
        assert "the reason" in log.read_text()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
    def test_a_line_that_finds_no_room_is_lost_without_a_word(self, capsys: pytest.CaptureFixture[str]) -> None:
        handler = start_logging(Path("/dev/full"))
        assert handler is not None
        handler.handle(logging.LogRecord("app", logging.INFO, "", 0, "lost", None, None))
        assert capsys.readouterr().err == ""
        handler.handle(logging.LogRecord("app", logging.INFO, "", 0, "%d", ("a fault of ours",), None))
        assert "a fault of ours" in capsys.readouterr().err
        logger = logging.getLogger("app")
        logger.removeHandler(handler)
        logger.propagate = True
        with contextlib.suppress(OSError):
            handler.close()

    def test_a_folder_that_cannot_be_written_is_no_reason_to_stay_closed(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        assert start_logging(tmp_path / "file" / "lookahead.log") is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("big-mac.local:8080", "http://big-mac.local:8080"),
        (" https://10.0.0.7/ ", "https://10.0.0.7"),
        ("http://[::1]:9", "http://[::1]:9"),
    ],
)
def test_addresses(written: str, expected: str) -> None:
    assert parse_address(written) == expected


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "Write the engine's address"), ("ftp://a", "not http"), ("http://a:99999", "not a number"),
        ("http://", "names no computer"), ("a b", "names no computer"), ("http://a/v1", "leave out what follows"),
        ("http://me@a", "leave out what follows"),
    ],
)  # fmt: skip
def test_what_is_no_address_is_told(written: str, why: str) -> None:
    with pytest.raises(AddressError, match=why):
        parse_address(written)
