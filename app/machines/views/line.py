"""One machine: its name and how it is, what it has and holds, and what can be done with it."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from app.look.typography import scaled
from app.look.widgets.elided_label import ElidedLabel
from app.machines.lines import Line


class MachineLine(QFrame):
    """Signals:
    pressed: its Line, when its button was.
    """

    pressed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line: Line | None = None
        self.title, self.detail, self.state = ElidedLabel(), QLabel(wordWrap=True), QLabel()
        self.detail.setTextFormat(Qt.TextFormat.PlainText)
        self.title.setProperty("role", "figure")
        self.detail.setProperty("role", "muted")
        self.share = QProgressBar(textVisible=False)
        self.share.setRange(0, 1000)
        self.button = QPushButton()
        self.button.setProperty("role", "link")
        self.button.clicked.connect(lambda: self.pressed.emit(self.line))
        policy = self.button.sizePolicy()
        policy.setRetainSizeWhenHidden(True)  # lines with and without it are as high
        self.button.setSizePolicy(policy)
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(self.title, 1)
        head.addWidget(self.state)
        head.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(head)
        layout.addWidget(self.detail)
        layout.addWidget(self.share)

    def show_line(self, line: Line, *, is_joining: bool) -> None:
        """Show how it is now; only one machine is joined at a time."""
        self.line = line
        self.title.show_text(line.name)
        self.detail.setText(line.detail)
        self.detail.setVisible(bool(line.detail))
        role = "wrong" if line.is_wrong else "muted"
        if self.state.property("role") != role:
            self.state.setProperty("role", role)
            self.style().unpolish(self.state)
            self.style().polish(self.state)
        self.state.setText(line.state)
        words = {"chosen": self.tr("Remove"), "joined": self.tr("Add"), "found": self.tr("Join…"), "own": ""}[line.kind]
        self.button.setText(words)
        # So that states stand below each other, whatever can be done with their machines.
        self.button.setMinimumWidth(self.button.fontMetrics().horizontalAdvance(self.tr("Remove")) + scaled(16))
        self.button.setVisible(bool(words))
        self.button.setEnabled(line.kind != "found" or not is_joining)
        self.button.setAccessibleName(f"{words} {line.name}")
        self.share.setVisible(line.part is not None)
        self.share.setValue(round(1000 * (line.part or 0.0)))
        self.share.setAccessibleName(self.tr("Its share of the model"))
        self.setAccessibleName(line.name)
        self.setAccessibleDescription(". ".join(filter(None, (line.state, line.detail))))
