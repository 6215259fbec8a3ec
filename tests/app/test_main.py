"""The `lookahead` command."""

import subprocess
import sys

import pytest

from app.main import NO_DISPLAY, UNSUITED, has_display, main, unsupported_system


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ""}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"QT_QPA_PLATFORM": "offscreen"}, True),
        ("linux", {"QT_QPA_PLATFORM": "vnc:size=800x600"}, True),
        ("linux", {"QT_QPA_PLATFORM": "xcb"}, False),
        ("darwin", {}, True),
    ],
)
def test_displays(platform: str, environment: dict[str, str], expected: bool) -> None:
    assert has_display(platform, environment) is expected


@pytest.mark.parametrize(
    ("system", "machine", "words"),
    [("win32", "AMD64", "win32"), ("darwin", "x86_64", "Apple silicon"), ("freebsd14", "arm64", "freebsd14")],
)
def test_a_machine_on_which_mlx_does_not_run(
    system: str, machine: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert main([]) == UNSUITED
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_machine_on_which_it_does() -> None:
    assert unsupported_system("darwin", "arm64") is None
    assert unsupported_system("linux", "aarch64") is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_without_a_display_one_line_and_code_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert main([]) == NO_DISPLAY
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "no display" in lines[0]


def test_the_window_imports_neither_the_engine_nor_the_plots() -> None:
    unwanted = ("mlx", "mlx_spec", "mlx_lm", "pyqtgraph", "numpy")
    program = f"import sys, app.window.workspace; print([m for m in {unwanted} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
