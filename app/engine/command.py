"""`mlx-spec` as a child process that is not the engine: an import, a race."""

import os
from collections.abc import Callable

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment

TERMINATE_MS = 2_500
"""So long a process may take to sweep up what it has half done, before it is killed."""

Finished = Callable[[int, QProcess.ExitStatus], None]
Failed = Callable[[QProcess.ProcessError], None]


def command_process(parent: QObject, finished: Finished, failed: Failed) -> QProcess:
    """A process that is not started yet; `finished` and `failed` hear how it ends."""
    environment = QProcessEnvironment.systemEnvironment()
    environment.insert("NO_COLOR", "1")
    environment.insert("COLUMNS", "1000")  # one line stays one line
    environment.insert("LOOKAHEAD_PARENT_PID", str(os.getpid()))  # it ends with the window, even with a killed one
    process = QProcess(parent)
    process.setProcessEnvironment(environment)
    process.finished.connect(finished)
    process.errorOccurred.connect(failed)
    return process


def give_up(process: QProcess, finished: Finished, failed: Failed) -> None:
    """End it, and tell nobody."""
    process.finished.disconnect(finished)
    process.errorOccurred.disconnect(failed)
    end(process)


def end(process: QProcess) -> None:
    """Ask a process to end, and kill it only where it does not. It is gone then."""
    process.terminate()
    if not process.waitForFinished(TERMINATE_MS):
        process.kill()
        process.waitForFinished(TERMINATE_MS)
    process.deleteLater()


def complaint(process: QProcess) -> str:
    """The last line that it said on stderr, without its own name in front; empty where it said nothing."""
    said = bytes(process.readAllStandardError().data()).decode("utf-8", "replace").strip().splitlines()
    return said[-1].removeprefix("mlx-spec: ").strip() if said else ""
