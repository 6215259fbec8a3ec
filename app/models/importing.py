"""A .gguf file or a model's folder becomes a model of Lookahead: `mlx-spec models import` as a child process."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QProcess, Signal

from app.engine.command import command_process, complaint, give_up

Command = Callable[[str], Sequence[str]]


def import_command(path: str) -> list[str]:
    """`mlx-spec models import PATH` under this interpreter."""
    return [sys.executable, "-m", "mlx_spec.cli", "models", "import", path]


def is_model_path(path: Path) -> bool:
    """Whether `path` is a model rather than text: a .gguf file, or a folder with weights in safetensors."""
    if path.suffix.lower() == ".gguf":
        return path.is_file()
    return path.is_dir() and (path / "config.json").is_file() and any(path.glob("*.safetensors"))


class ModelImport(QObject):
    """Imports one model after the other. A folder stays where it is and is only checked.

    Signals:
        started: the Path being imported.
        finished: (the Path, whether that succeeded, a sentence for people).
    """

    started = Signal(object)
    finished = Signal(object, bool, str)

    def __init__(self, command: Command = import_command, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._command = command
        self._waiting: list[Path] = []
        self._path: Path | None = None
        self._process: QProcess | None = None

    @property
    def path(self) -> Path | None:
        """What is being imported."""
        return self._path

    def add(self, paths: Sequence[Path]) -> None:
        """Import these, after those before them."""
        self._waiting += paths
        if self._process is None:
            self._next()

    def stop(self) -> None:
        """Give up; what is half imported is swept away by the next import."""
        self._waiting.clear()
        process, self._process, self._path = self._process, None, None
        if process is not None:
            give_up(process, self._on_finished, self._on_error)

    def _next(self) -> None:
        if not self._waiting:
            return
        self._path = self._waiting.pop(0)
        process = self._process = command_process(self, self._on_finished, self._on_error)
        self.started.emit(self._path)
        program, *arguments = self._command(str(self._path))
        process.start(program, arguments)

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        process, path = self._process, self._path
        if process is None or path is None:
            return
        is_good = status == QProcess.ExitStatus.NormalExit and code == 0
        why = complaint(process) or self.tr("it ended without a word")
        good = self.tr("{} is imported.") if path.is_file() else self.tr("{} can be loaded; it stays where it is.")
        self._end(path, is_good, good.format(path.name) if is_good else why)

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None and self._path is not None:
            self._end(self._path, False, self._process.errorString())

    def _end(self, path: Path, is_good: bool, words: str) -> None:
        process, self._process, self._path = self._process, None, None
        if process is not None:
            process.deleteLater()
        self.finished.emit(path, is_good, words)
        self._next()
