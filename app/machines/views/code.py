"""A code, large enough to be read from another desk, and whether the other screen shows the same."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app.machines.several import Asked


class CodePanel(QFrame):
    """Neither answer is the default: a code is to be looked at, not waved through by the return key.

    Signals:
        answered: whether it is the same.
        refused: it is none, and shall not be shown again.
    """

    answered = Signal(bool)
    refused = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, objectName="banner")
        self.words, self.code = QLabel(wordWrap=True), QLabel()
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.code.setProperty("role", "title")
        self.code.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.same = QPushButton(self.tr("The same"), autoDefault=False)
        self.other = QPushButton(self.tr("Another, or none"), autoDefault=False)
        self.never = QPushButton(self.tr("Never ask again"), autoDefault=False)
        self.never.clicked.connect(self.refused)
        self.never.setProperty("role", "link")
        for button in (self.same, self.other):
            button.setProperty("role", "outline")
        self.same.clicked.connect(lambda: self.answered.emit(True))
        self.other.clicked.connect(lambda: self.answered.emit(False))
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.same)
        buttons.addWidget(self.other)
        buttons.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 12, 16, 12)
        layout.setSpacing(8)
        layout.addWidget(self.words)
        layout.addWidget(self.code)
        layout.addLayout(buttons)
        layout.addWidget(self.never, 0, Qt.AlignmentFlag.AlignLeft)
        self.hide()

    def show_code(self, asked: Asked | None) -> None:
        """Ask, or be gone."""
        self.setVisible(asked is not None)
        if asked is None:
            return
        self.never.setVisible(asked.is_theirs)
        if asked.is_theirs:
            words = self.tr("{0} asks to use this Mac, and shows a code. Is it this one?")
        else:
            words = self.tr("{0} shows a code now. Is it this one?")
        self.words.setText(words.format(asked.name))
        self.code.setText(f"{asked.code[:3]} {asked.code[3:]}")
        self.code.setAccessibleName(self.tr("Code {0}").format(" ".join(asked.code)))
