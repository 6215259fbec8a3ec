"""A question, as a bubble on the right."""

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

UNBOUNDED_PX = 1_000_000
PADDING_PX = 15  # as the style sheet has it
SLACK_PX = 2  # a label wraps a hair earlier than its font metrics say


class QuestionView(QWidget):
    """Plain text, selectable, at most four fifths of the column wide."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._label = QLabel(_breakable(text))
        self._label.setObjectName("question")
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._label.setWordWrap(True)
        self._label.setIndent(0)
        self._label.setAccessibleName("Question")
        flags = Qt.TextInteractionFlag
        self._label.setTextInteractionFlags(flags.TextSelectableByMouse | flags.TextSelectableByKeyboard)
        self._label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addStretch(1)
        layout.addWidget(self._label, 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the bubble as wide as its text, up to four fifths."""
        super().resizeEvent(event)
        room = self.width() * 4 // 5 - 2 * PADDING_PX
        bounds = QRect(0, 0, room, UNBOUNDED_PX)
        text = self._label.fontMetrics().boundingRect(bounds, Qt.TextFlag.TextWordWrap, self._label.text())
        width = min(text.width(), room) + 2 * PADDING_PX + SLACK_PX
        self._label.setFixedWidth(width)
        self._label.setFixedHeight(self._label.heightForWidth(width))


def _breakable(text: str) -> str:
    """Words too long for any line can break: a zero-width space every 40 characters."""
    words = text.split(" ")
    return " ".join("\u200b".join(word[i : i + 40] for i in range(0, len(word), 40)) for word in words)
