"""How far the prompt has been read, for prompts that take a while."""

from PySide6.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from app.engine.protocol import Prefill


class ReadingBar(QWidget):
    """A line of text over a thin bar."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text = QLabel()
        self._text.setProperty("role", "muted")
        self._bar = QProgressBar(textVisible=False)
        self._bar.setAccessibleName(self.tr("Prompt read"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self._text)
        layout.addWidget(self._bar)

    def show_progress(self, progress: Prefill | None) -> None:
        """Show `progress`, or that it is unknown."""
        if progress is None:
            self._text.setText(self.tr("Reading the prompt…"))
            self._bar.setRange(0, 0)
        else:
            self._text.setText(
                self.tr("Reading the prompt… {0:,} of {1:,} tokens").format(
                    progress.processed_tokens, progress.total_tokens
                )
            )
            self._bar.setRange(0, max(1, progress.total_tokens))
            self._bar.setValue(progress.processed_tokens)
        self.show()
