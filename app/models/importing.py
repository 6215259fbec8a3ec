"""A .gguf file or a model's folder becomes a model of Lookahead: `mlx-spec models import` as a child process."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from app.engine.command import CommandProcess, mlx_spec_command

Command = Callable[[str], Sequence[str]]


def import_command(path: str) -> list[str]:
    """`mlx-spec models import PATH`."""
    return mlx_spec_command("models", "import", path)


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
        self._process = CommandProcess(self)
        self._process.ended.connect(self._on_ended)
        self._process.unstarted.connect(self._on_unstarted)

    @property
    def path(self) -> Path | None:
        """What is being imported."""
        return self._path

    def add(self, paths: Sequence[Path]) -> None:
        """Import these, after those before them."""
        self._waiting += paths
        if self._path is None:
            self._next()

    def stop(self) -> None:
        """Give up; what is half imported is swept away by the next import."""
        self._waiting.clear()
        self._path = None
        self._process.stop()

    def _next(self) -> None:
        if not self._waiting:
            return
        path = self._path = self._waiting.pop(0)
        self.started.emit(path)
        if self._path is path:  # who hears of it may stop it
            self._process.start(self._command(str(path)))

    def _on_ended(self, is_good: bool, said: str, why: str) -> None:
        good = (
            self.tr("{} is imported.") if self._path.is_file() else self.tr("{} can be loaded; it stays where it is.")
        )
        self._end(is_good, good.format(self._path.name) if is_good else why)

    def _on_unstarted(self, why: str) -> None:
        self._end(False, why)

    def _end(self, is_good: bool, words: str) -> None:
        path, self._path = self._path, None
        self.finished.emit(path, is_good, words)
        if self._path is None:  # whoever heard of it may have begun the next
            self._next()
