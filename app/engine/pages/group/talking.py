"""`mlx-spec` as a child process that talks: an object a line, in both directions."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, Signal

from app.engine.command import end, mlx_spec_command


class TalkingCommand(QObject):
    """Runs one command at a time, until it ends or is stopped. It ends with the window.

    Signals:
        said: a dict, as it came on a line.
        ended: (whether it succeeded, its last words where it did not). Not sent after `stop`.
    """

    said = Signal(object)
    ended = Signal(bool, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None
        self._rest = b""

    @property
    def is_running(self) -> bool:
        """Whether one is under way."""
        return self._process is not None

    def start(self, *arguments: str, command: Sequence[str] | None = None) -> None:
        """Begin `mlx-spec` with these arguments, or another `command`; what was under way is stopped."""
        self.stop()
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("PYTHONUNBUFFERED", "1")
        environment.insert("NO_COLOR", "1")
        environment.insert("LOOKAHEAD_PARENT_PID", str(os.getpid()))
        process = self._process = QProcess(self)
        process.setProcessEnvironment(environment)
        process.readyReadStandardOutput.connect(self._read)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        self._rest = b""
        program, *words = command or mlx_spec_command(*arguments)
        process.start(program, words)

    def write(self, value: Mapping[str, Any]) -> None:
        """Say something to it."""
        if self._process is not None:
            self._process.write(json.dumps(value).encode() + b"\n")

    def stop(self) -> None:
        """End it where one is under way, and tell nobody."""
        process, self._process = self._process, None
        if process is not None:
            process.readyReadStandardOutput.disconnect(self._read)
            process.finished.disconnect(self._on_finished)
            process.errorOccurred.disconnect(self._on_error)
            end(process)

    def _read(self) -> None:
        if self._process is None:
            return
        *lines, self._rest = (self._rest + bytes(self._process.readAllStandardOutput().data())).split(b"\n")
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                self.said.emit(value)

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read()
        process, self._process = self._process, None
        if process is not None:
            said = bytes(process.readAllStandardError().data()).decode("utf-8", "replace").strip().splitlines()
            process.deleteLater()
            why = said[-1].removeprefix("mlx-spec: ").strip() if said else ""
            self.ended.emit(status == QProcess.ExitStatus.NormalExit and code == 0, why)

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            process, self._process = self._process, None
            process.deleteLater()
            self.ended.emit(False, process.errorString())
