"""Is a pair worth having here? `mlx-spec models try` as a child process: plain decoding against speculation."""

import json
import sys
from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, QProcess, Signal

from app.engine.command import command_process, complaint, give_up
from app.models.choice import Choice

Command = Callable[[Choice], Sequence[str]]


def race_command(choice: Choice) -> list[str]:
    """`mlx-spec models try` of a choice under this interpreter."""
    named = [choice.pair] if choice.pair else [choice.target, "--draft", choice.draft or "none"]
    return [sys.executable, "-m", "mlx_spec.cli", "models", "try", *named, "--json"]


class PairRace(QObject):
    """Races one pair at a time, beside what the engine has loaded.

    Signals:
        finished: (the Choice, the ratio to plain decoding's speed or None, a sentence for people).
    """

    finished = Signal(object, object, str)

    def __init__(self, command: Command = race_command, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._command = command
        self._process: QProcess | None = None
        self.choice: Choice | None = None
        """What races now."""

    def start(self, choice: Choice) -> None:
        """Begin; nothing may race already."""
        assert self._process is None, "a race is under way"
        self.choice = choice
        process = self._process = command_process(self, self._on_finished, self._on_error)
        program, *arguments = self._command(choice)
        process.start(program, arguments)

    def stop(self) -> None:
        """Give up; nothing is remembered."""
        process, self._process, self.choice = self._process, None, None
        if process is not None:
            give_up(process, self._on_finished, self._on_error)

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        if self._process is None:
            return
        try:
            told = json.loads(bytes(self._process.readAllStandardOutput().data()))
            ratio, same = float(told["ratio"]), told["same_words"] is True
        except (ValueError, KeyError, TypeError):
            why = complaint(self._process) or self.tr("it ended without a word")
            self._end(None, self.tr("The race could not be run: {}").format(why))
            return
        words = self.tr("{:.2f}× plain decoding, with the same words.")
        other = self.tr("{:.2f}× plain decoding; not all words were the same, at a near-tie.")
        self._end(ratio, (words if same else other).format(ratio))

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            self._end(None, self._process.errorString())

    def _end(self, ratio: float | None, words: str) -> None:
        process, self._process = self._process, None
        choice, self.choice = self.choice, None
        if process is not None:
            process.deleteLater()
        self.finished.emit(choice, ratio, words)
