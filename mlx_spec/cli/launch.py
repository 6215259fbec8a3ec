"""`make run`: the window where there is a display, otherwise the same job in the terminal. Loads no model itself."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

from mlx_spec.machine.blas import blas_environment
from mlx_spec.machine.resources import resources_folder
from prompt_files import read_prompt

PROMPT: Final = "prompts/1-explain.prompt.md"
STARTUP_SECONDS: Final = 5.0
"""A window that fails within this time never came up: Qt lacks a library, or a platform that works."""


def has_display() -> bool:
    """Whether a window can be shown to the person who started this process."""
    if sys.platform == "darwin":
        # Over SSH there is no window server to draw with, whoever sits at the Mac.
        return not (os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"))
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def run_window(environment: dict[str, str]) -> int | None:
    """Open the window and wait for it. Returns its exit status, or None where it could not come up."""
    started = time.monotonic()
    status = subprocess.run([sys.executable, "-m", "app.main"], env=environment, check=False).returncode
    never_came_up = status != 0 and time.monotonic() - started < STARTUP_SECONDS
    return None if never_came_up else status


def run_terminal(environment: dict[str, str]) -> int:
    """Answer one of the example prompts in the terminal and wait for it. Returns the exit status."""
    prompt = resources_folder() / PROMPT
    sys.stderr.write(f"\n{read_prompt(prompt).text.strip()}\n\n")  # an answer without its question says little
    sys.stderr.flush()
    command = [sys.executable, "-m", "mlx_spec.cli", "generate", "--file", str(prompt)]
    return subprocess.run(command, env=environment, check=False).returncode


def _say(line: str) -> None:
    sys.stderr.write(f"lookahead: {line}\n")
    sys.stderr.flush()


def main() -> int:
    """Choose, run, and return the exit status of what ran."""
    environment = dict(os.environ) | blas_environment()
    pressed: list[int] = []
    # The terminal tells what runs of Ctrl-C, too. It may need a moment to end, and must not be killed meanwhile.
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        status = _run(environment, pressed)
    finally:
        signal.signal(signal.SIGINT, before)
    return 128 + signal.SIGINT if pressed else status


def _run(environment: dict[str, str], pressed: Sequence[int]) -> int:
    if not has_display():
        _say("no display here, so no window: answering an example prompt in the terminal instead.")
        return run_terminal(environment)
    status = run_window(environment)
    if status is not None or pressed:
        return status or 0
    _say("the window could not start here: answering in the terminal instead.")
    return run_terminal(environment)


if __name__ == "__main__":
    sys.exit(main())
