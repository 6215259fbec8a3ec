"""Which models suit the machine that the engine runs on, as the first page tells it."""

from PySide6.QtCore import QObject, Signal

from app.engine.model_records import Refusal, Suggestions
from app.engine.models_client import ModelsClient


class AdviceViewModel(QObject):
    """One for a window; it asks nothing until `ask` is called.

    Signals:
        changed: the advice came, or why it did not.
    """

    changed = Signal()

    def __init__(self, client: ModelsClient, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self.suggestions: Suggestions | None = None
        self.refusal: Refusal | None = None
        """Why nothing came; an engine that is older than the window has no advice to give."""
        client.answered.connect(self._on_answer)
        client.refused.connect(self._on_refusal)

    def ask(self) -> None:
        """Ask, anew where it was asked before: a race or a start of the engine may know more."""
        self._client.fetch_suggestions()

    def _on_answer(self, task: str, subject: str, value: object) -> None:
        if task == "suggestions" and isinstance(value, Suggestions):
            self.suggestions, self.refusal = value, None
            self.changed.emit()

    def _on_refusal(self, task: str, subject: str, refusal: Refusal) -> None:
        if task == "suggestions":
            self.refusal = refusal
            self.changed.emit()
