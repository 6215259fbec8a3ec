"""Finds words in the open chat, turn by turn."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QColor, QIcon, QKeyEvent, QTextCursor
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QPushButton, QTextEdit, QWidget

from app.look import icons
from app.look.theme import Palette
from app.store import Turn


class FindBar(QFrame):
    """A field over the conversation; Enter goes to the next turn that has the words, Shift-Enter to the one before.

    Signals:
        turn_wanted: the index of the turn to show.
        closed: the bar is gone.
    """

    turn_wanted = Signal(int)
    closed = Signal()

    def __init__(self, turns: Callable[[], Sequence[Turn]], palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("findBar")
        self._turns = turns
        self._found: list[int] = []
        self._at = -1
        self.field = QLineEdit(placeholderText=self.tr("Find in this chat"))
        self.field.setAccessibleName(self.tr("Find in this chat"))
        self._lens = QAction(self)
        self.field.addAction(self._lens, QLineEdit.ActionPosition.LeadingPosition)
        self._count = QLabel()
        self._count.setProperty("role", "muted")
        self._before = self._button(self.tr("Previous"))
        self._after = self._button(self.tr("Next"))
        self._close = self._button(self.tr("Close the search"))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(4, 4, 8, 4)
        layout.setSpacing(4)
        layout.addWidget(self.field, 1)
        for widget in (self._count, self._before, self._after, self._close):
            layout.addWidget(widget)
        self.field.textChanged.connect(lambda _: self._look())
        self.field.returnPressed.connect(lambda: self.step(1))
        self._before.clicked.connect(lambda: self.step(-1))
        self._after.clicked.connect(lambda: self.step(1))
        self._close.clicked.connect(self.end)
        self.apply_palette(palette)
        self.hide()

    @property
    def count_text(self) -> str:
        """How many turns have the words, and which one shows."""
        return self._count.text()

    def begin(self, text: str = "") -> None:
        """Show the bar, ready to type."""
        self.show()
        if text:
            self.field.setText(text)
        self.field.selectAll()
        self.field.setFocus()
        self._look()

    def end(self) -> None:
        """Hide the bar."""
        self.hide()
        self.closed.emit()

    def step(self, by: int) -> None:
        """Go to another turn that has the words, round and round."""
        if self._found:
            self._at = (self._at + by) % len(self._found)
            self._tell()
            self.turn_wanted.emit(self._found[self._at])

    def mark(self, view: QWidget, palette: Palette) -> None:
        """Colour the words found in a view's texts."""
        wanted = self.field.text()
        for edit in view.findChildren(QTextEdit):
            marks: list[QTextEdit.ExtraSelection] = []
            cursor = QTextCursor(edit.document())
            while wanted and not (cursor := edit.document().find(wanted, cursor)).isNull():
                mark = QTextEdit.ExtraSelection()
                mark.cursor = cursor
                mark.format.setBackground(QColor(palette.selection))
                mark.format.setForeground(QColor(palette.text))
                mark.format.setFontUnderline(True)
                marks.append(mark)
            edit.setExtraSelections(marks)

    def unmark(self, view: QWidget) -> None:
        """Take the colours off again."""
        for edit in view.findChildren(QTextEdit):
            edit.setExtraSelections([])

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._lens.setIcon(QIcon(icons.pixmap("search", palette.muted, 16)))
        for button, name in ((self._before, "left"), (self._after, "right"), (self._close, "close")):
            button.setIcon(icons.icon(name, palette.text, palette.border))

    def _look(self) -> None:
        wanted = self.field.text().casefold()
        texts = [f"{turn.question}\n{turn.answer.text}" for turn in self._turns()] if wanted else []
        self._found = [index for index, text in enumerate(texts) if wanted in text.casefold()]
        self._at = -1
        self._tell()

    def _tell(self) -> None:
        nothing = self.tr("Not found") if self.field.text() else ""
        place = self._at + 1 or "–"
        self._count.setText(self.tr("{0} of {1}").format(place, len(self._found)) if self._found else nothing)
        for button in (self._before, self._after):
            button.setEnabled(bool(self._found))

    def _button(self, name: str) -> QPushButton:
        button = QPushButton()
        button.setAccessibleName(name)
        button.setToolTip(name)
        button.setFixedSize(28, 28)
        button.setIconSize(QSize(16, 16))
        return button

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape closes; Shift-Enter goes back."""
        if event.key() == Qt.Key.Key_Escape:
            self.end()
        elif event.key() == Qt.Key.Key_Return and event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.step(-2)  # the field's own Enter goes forth by one
        else:
            super().keyPressEvent(event)
