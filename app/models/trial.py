"""Is a pair worth having here? `mlx-spec models try` as a child process: plain decoding against speculation."""

import json
from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, Signal

from app.engine.command import CommandProcess, mlx_spec_command
from app.models.choice import Choice

Command = Callable[[Choice], Sequence[str]]


def race_command(choice: Choice) -> list[str]:
    """`mlx-spec models try` of a choice."""
    named = [choice.pair] if choice.pair else [choice.target, "--draft", choice.draft or "none"]
    return mlx_spec_command("models", "try", *named, "--json")


class PairRace(QObject):
    """Races one pair at a time, beside what the engine has loaded.

    Signals:
        finished: (the Choice, the ratio to plain decoding's speed or None, a sentence for people).
    """

    finished = Signal(object, object, str)

    def __init__(self, command: Command = race_command, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._command = command
        self._process = CommandProcess(self)
        self._process.ended.connect(self._on_ended)
        self._process.unstarted.connect(self._on_unstarted)
        self.choice: Choice | None = None
        """What races now."""

    def start(self, choice: Choice) -> None:
        """Begin; nothing may race already."""
        self.choice = choice
        self._process.start(self._command(choice))

    def stop(self) -> None:
        """Give up; nothing is remembered."""
        self.choice = None
        self._process.stop()

    def _on_ended(self, is_good: bool, said: str, why: str) -> None:
        try:
            told = json.loads(said)
            ratio, same = float(told["ratio"]), told["same_words"] is True
        except (ValueError, KeyError, TypeError):
            self._end(None, self.tr("The race could not be run: {}").format(why))
            return
        words = self.tr("{:.2f}× plain decoding, with the same words.")
        other = self.tr("{:.2f}× plain decoding; not all words were the same, at a near-tie.")
        self._end(ratio, (words if same else other).format(ratio))

    def _on_unstarted(self, why: str) -> None:
        self._end(None, why)

    def _end(self, ratio: float | None, words: str) -> None:
        choice, self.choice = self.choice, None
        self.finished.emit(choice, ratio, words)
