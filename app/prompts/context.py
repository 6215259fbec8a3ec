"""How many tokens the question that is being written would take, with all that goes along."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, QTimer, Signal

from app.engine.request import ChatMessage
from app.engine.token_counter import TokenCount, TokenCounter
from app.store import Attachment, Question

PAUSE_MS = 250  # of typing, before the engine is asked


def next_messages(
    system: str, earlier: Sequence[ChatMessage], text: str, parts: Sequence[Attachment] = ()
) -> list[ChatMessage]:
    """The messages of the next request; of the conversation alone while nothing is written.

    A question that got no answer is not sent again, so it is left out.
    """
    kept = list(earlier)
    if kept and kept[-1]["role"] == "user":
        kept.pop()
    first = [{"role": "system", "content": system}] if system.strip() else []
    if not text.strip() and not parts:
        return [*first, *kept] if kept else []
    return [*first, *kept, {"role": "user", "content": Question(text.strip(), tuple(parts)).prompt}]


class ContextViewModel(QObject):
    """Counts what would be sent, a moment after it changed.

    Signals:
        changed: `count` is another.
        prompt_shown: the prompt, after `show_prompt`, as a TokenCount with its text.
        prompt_refused: a sentence why there is none.
    """

    changed = Signal()
    prompt_shown = Signal(object)
    prompt_refused = Signal(str)

    def __init__(
        self, counter: TokenCounter, messages: Callable[[], Sequence[ChatMessage]], parent: QObject | None = None
    ) -> None:
        """`messages` gives those of the next request."""
        super().__init__(parent)
        self.count: TokenCount | None = None
        self._counter, self._messages = counter, messages
        # What would be sent has a number that grows with every change; counts carry the number of what they counted.
        self._version, self._asked, self._counted = 1, 0, 0
        self._waiting: list[Callable[[TokenCount | None], object]] = []
        self._pause = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._pause.timeout.connect(self._ask)
        counter.counted.connect(self._on_counted)
        counter.failed.connect(self._on_failed)

    def refresh(self) -> None:
        """What would be sent has changed."""
        self._version += 1
        self._pause.start()

    def when_counted(self, then: Callable[[TokenCount | None], object]) -> None:
        """Call with a count of what would be sent now; with None where the engine cannot count."""
        if self._counted == self._version:
            then(self.count)
            return
        self._waiting.append(then)
        self._pause.stop()
        if self._asked != self._version:
            self._ask()

    def show_prompt(self) -> None:
        """Ask for the prompt that the model would read."""
        self._counter.count_messages("prompt", self._messages(), prompt=True)

    def _ask(self) -> None:
        self._counter.drop(("context", self._asked))
        self._asked = self._version
        if messages := self._messages():
            self._counter.count_messages(("context", self._asked), messages)
        else:
            self._take(None)

    def _on_counted(self, key: object, count: TokenCount) -> None:
        if key == "prompt":
            self.prompt_shown.emit(count)
        elif key == ("context", self._version):
            self._take(count)

    def _on_failed(self, key: object, why: str) -> None:
        if key == "prompt":
            self.prompt_refused.emit(why)
        elif key == ("context", self._version):
            self._take(None)

    def _take(self, count: TokenCount | None) -> None:
        self._counted, self.count = self._version, count
        self.changed.emit()
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then(count)
