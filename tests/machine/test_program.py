"""How this installation starts itself, and where it does not run at all."""

import subprocess
import sys

import pytest

from mlx_spec.errors import LookaheadError
from mlx_spec.machine import blas
from mlx_spec.machine.program import interpreter, own_command, unsupported_system
from tests.cli.calling import mlx_spec


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As PyInstaller has it."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/app/mlx-spec")


def test_from_a_checkout_or_a_wheel_an_interpreter_runs_a_module() -> None:
    assert own_command("serve", "--port", "0") == [sys.executable, "-m", "mlx_spec.cli", "serve", "--port", "0"]
    assert interpreter("Measuring") == sys.executable


@pytest.mark.usefixtures("frozen")
def test_a_frozen_program_runs_itself() -> None:
    assert own_command("serve") == ["/app/mlx-spec", "serve"]
    with pytest.raises(LookaheadError, match=r"^Measuring beside mlx-lm needs a Python"):
        interpreter("Measuring beside mlx-lm")


@pytest.mark.usefixtures("frozen")
def test_a_frozen_program_begins_again_with_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter has options before the module's name; a frozen program has none."""
    calls: list[list[str]] = []
    monkeypatch.setattr(sys, "argv", ["mlx-spec", "generate", "hi"])
    monkeypatch.setattr(sys, "orig_argv", ["mlx-spec", "-c", "not this"])
    monkeypatch.setattr(blas, "blas_environment", lambda: {"A": "b"})
    monkeypatch.setattr(blas.os, "execve", lambda program, words, environment: calls.append([program, *words]))
    blas.ensure_preloaded()
    assert calls == [["/app/mlx-spec", "/app/mlx-spec", "generate", "hi"]]


@pytest.mark.parametrize(
    ("system", "machine", "words"),
    [
        ("linux", "x86_64", None),
        ("linux", "aarch64", None),
        ("darwin", "arm64", None),
        ("darwin", "x86_64", "Apple silicon"),
        ("win32", "AMD64", "win32"),
    ],
)
def test_where_mlx_runs(system: str, machine: str, words: str | None) -> None:
    told = unsupported_system(system, machine)
    assert told is None if words is None else words in (told or "")


# What such a system has not, as far as a program meets it when it is imported.
ELSEWHERE = """
import asyncio, platform, subprocess, sys, psutil, rich.console, typer  # by their own systems
for name in ("fcntl", "pwd", "grp", "termios", "resource", "tty", "pty", "mlx"):
    sys.modules[name] = None
import signal
for name in ("SIGHUP", "SIGKILL", "SIGQUIT"):
    delattr(signal, name)
sys.platform, platform.machine, sys.argv = "win32", lambda: "AMD64", ["program"]
"""


@pytest.mark.parametrize("program", ["mlx_spec.cli.main", "app.main"])
def test_on_windows_both_programs_end_with_one_line(program: str) -> None:
    command = [sys.executable, "-c", f"{ELSEWHERE}from {program} import main; sys.exit(main())"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.endswith(("this system is win32.", "this system is win32: MLX does not run here."))


def test_elsewhere_every_command_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlx_spec.cli.main.unsupported_system", lambda system, machine: "It does not run here.")
    done = mlx_spec("doctor")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "mlx-spec: It does not run here.\n")
