"""`mlx-spec` as a child process that is not the engine: an import, a race."""

from collections.abc import Callable

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment

Finished = Callable[[int, QProcess.ExitStatus], None]
Failed = Callable[[QProcess.ProcessError], None]


def command_process(parent: QObject, finished: Finished, failed: Failed) -> QProcess:
    """A process that is not started yet; `finished` and `failed` hear how it ends."""
    environment = QProcessEnvironment.systemEnvironment()
    environment.insert("NO_COLOR", "1")
    environment.insert("COLUMNS", "1000")  # one line stays one line
    process = QProcess(parent)
    process.setProcessEnvironment(environment)
    process.finished.connect(finished)
    process.errorOccurred.connect(failed)
    return process


def give_up(process: QProcess, finished: Finished, failed: Failed) -> None:
    """Kill it, and tell nobody."""
    process.finished.disconnect(finished)
    process.errorOccurred.disconnect(failed)
    process.kill()
    process.waitForFinished(2_000)
    process.deleteLater()


def complaint(process: QProcess) -> str:
    """The last line that it said on stderr, without its own name in front; empty where it said nothing."""
    said = bytes(process.readAllStandardError().data()).decode("utf-8", "replace").strip().splitlines()
    return said[-1].removeprefix("mlx-spec: ").strip() if said else ""
