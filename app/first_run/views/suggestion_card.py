"""A pair that suits the machine: what it is, at the left, and how fast it ought to be, at the right."""

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app.engine.model_records import Suggestion
from app.first_run.words import memory_words, role_words, speed_words


class SuggestionCard(QPushButton):
    """As high as its text needs: a button by itself takes no notice of what lies in it."""

    def __init__(self, suggestion: Suggestion, available_bytes: int, parent: QWidget | None = None) -> None:
        super().__init__(parent, objectName="card")
        self.suggestion = suggestion
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        role, pair = role_words(suggestion.role), suggestion.pair
        speed, more = speed_words(suggestion)
        memory = memory_words(suggestion, available_bytes)
        left, right = QVBoxLayout(), QVBoxLayout()
        for column in (left, right):
            column.setSpacing(2)
        left.addWidget(_label(" · ".join(filter(None, (role, pair.name))), "name", wraps=True))
        left.addWidget(_label(f"{pair.note} {memory[:1].upper()}{memory[1:]}.", "muted", wraps=True))
        for text, kind in ((speed, "figure"), (more, "muted")):
            if text:
                label = _label(text, kind)
                label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop)
                right.addWidget(label)
        for column in (left, right):
            column.addStretch()
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 10, 16, 10)
        row.setSpacing(16)
        row.addLayout(left, 1)
        row.addLayout(right)
        policy = self.sizePolicy()
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName(self.tr("Look at {0}").format(pair.name))
        self.setAccessibleDescription(". ".join(filter(None, (role, pair.note, memory, speed, more))))

    def hasHeightForWidth(self) -> bool:
        """Its text wraps."""
        return True

    def heightForWidth(self, width: int) -> int:
        """What its text needs."""
        return self.layout().totalHeightForWidth(width)

    def sizeHint(self) -> QSize:
        """Whatever width there is."""
        return self.layout().totalSizeHint()

    def minimumSizeHint(self) -> QSize:
        """No less than the right side and the longest word at the left."""
        return self.layout().totalMinimumSize()


def _label(text: str, role: str, *, wraps: bool = False) -> QLabel:
    label = QLabel(text, wordWrap=wraps)
    label.setProperty("role", role)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
    return label
