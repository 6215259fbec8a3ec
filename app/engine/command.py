"""`mlx-spec` as a child process that is not the engine: an import, a race."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, Signal

TERMINATE_MS = 2_500
"""So long a process may take to sweep up what it has half done, before it is killed."""


def mlx_spec_command(*arguments: str) -> list[str]:
    """`mlx-spec` with these arguments: under this interpreter, or the program beside this one in the frozen app."""
    if getattr(sys, "frozen", False):
        return [str(Path(sys.executable).with_name("mlx-spec")), *arguments]
    return [sys.executable, "-m", "mlx_spec.cli", *arguments]


class CommandProcess(QObject):
    """Runs one command at a time. It ends with the window, and is heard only once it has ended.

    Signals:
        ended: (whether it succeeded, what it said on stdout, why it did not succeed, in its own last words).
        unstarted: why it could not even be started.
    """

    ended = Signal(bool, str, str)
    unstarted = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None

    def start(self, command: Sequence[str]) -> None:
        """Begin; no other may be under way."""
        assert self._process is None, "a command is under way"
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("NO_COLOR", "1")
        environment.insert("COLUMNS", "1000")  # one line stays one line
        environment.insert("LOOKAHEAD_PARENT_PID", str(os.getpid()))  # it ends with the window, even with a killed one
        process = self._process = QProcess(self)
        process.setProcessEnvironment(environment)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        program, *arguments = command
        process.start(program, arguments)

    def stop(self) -> None:
        """End it where one is under way, and tell nobody."""
        process, self._process = self._process, None
        if process is not None:
            process.finished.disconnect(self._on_finished)
            process.errorOccurred.disconnect(self._on_error)
            end(process)

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        said = bytes(process.readAllStandardOutput().data()).decode("utf-8", "replace")
        why = _complaint(process) or self.tr("it ended without a word")
        process.deleteLater()
        self.ended.emit(status == QProcess.ExitStatus.NormalExit and code == 0, said, why)

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            process, self._process = self._process, None
            process.deleteLater()
            self.unstarted.emit(process.errorString())


def end(process: QProcess) -> None:
    """Ask a process to end, and kill it only where it does not. It is gone then."""
    process.terminate()
    if not process.waitForFinished(TERMINATE_MS):
        process.kill()
        process.waitForFinished(TERMINATE_MS)
    process.deleteLater()


def _complaint(process: QProcess) -> str:
    """The last line that it said on stderr, without its own name in front; empty where it said nothing."""
    said = bytes(process.readAllStandardError().data()).decode("utf-8", "replace").strip().splitlines()
    return said[-1].removeprefix("mlx-spec: ").strip() if said else ""
