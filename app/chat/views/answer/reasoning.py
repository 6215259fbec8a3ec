"""What the model thought before it answered, folded unless one wants to read it."""

from PySide6.QtGui import QColor, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QFrame, QPushButton, QVBoxLayout, QWidget

from app.look.theme import Palette
from app.look.typography import SMALL_PX, body_font
from app.look.widgets.flow_text import FlowText


class ReasoningView(QFrame):
    """A button that tells how much was thought, and the thoughts under it. Writes only while they show."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("reasoning")
        self._palette = palette
        self._text = ""
        self._num_written = 0
        self.fold = QPushButton(checkable=True)
        self.fold.setProperty("role", "fold")
        self._body = FlowText()
        self._body.setAccessibleName(self.tr("Reasoning"))
        self._body.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 4, 12, 8)
        layout.setSpacing(4)
        layout.addWidget(self.fold)
        layout.addWidget(self._body)
        self.fold.toggled.connect(self._on_toggled)
        self.hide()

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches."""
        return [self.fold, self._body]

    @property
    def shown_text(self) -> str:
        """What is written, empty while it is folded."""
        return "" if self._body.isHidden() else self._body.toPlainText()

    def show_reasoning(self, text: str, *, is_thinking: bool) -> None:
        """Show that this was thought; `text` mostly begins with what was shown before."""
        self.setVisible(bool(text) or is_thinking)
        if not text.startswith(self._text[: self._num_written]):
            self._clear()
        self._text = text
        num_words = len(text.split())
        arrow = "▾" if self.fold.isChecked() else "▸"
        told = self.tr("Thinking… {0} words") if is_thinking else self.tr("Reasoning, {0} words")
        self.fold.setText(f"{arrow}  {told.format(f'{num_words:,}')}")
        if self.fold.isChecked():
            self._write()

    def apply_palette(self, palette: Palette) -> None:
        """Write everything again in other colours."""
        self._palette = palette
        self._clear()
        if self.fold.isChecked():
            self._write()

    def _on_toggled(self, is_open: bool) -> None:
        self._body.setVisible(is_open)
        self.fold.setText(("▾" if is_open else "▸") + self.fold.text()[1:])
        if is_open:
            self._write()

    def _write(self) -> None:
        style = QTextCharFormat()
        style.setFont(body_font(SMALL_PX + 1))
        style.setForeground(QColor(self._palette.muted))
        cursor = QTextCursor(self._body.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.insertText(self._text[self._num_written :], style)
        self._num_written = len(self._text)

    def _clear(self) -> None:
        self._body.clear()
        self._num_written = 0
