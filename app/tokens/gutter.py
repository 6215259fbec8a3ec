"""The margin of the tokens view: the number of the token that each paragraph begins with."""

from collections.abc import Sequence

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QTextEdit, QWidget

from app.look.theme import Palette
from app.look.typography import mono_font

GUTTER_PX = 44


class TokenGutter(QWidget):
    """Beside a text that does not scroll. Only a picture: the tooltips tell the positions."""

    def __init__(self, text: QTextEdit, palette: Palette) -> None:
        super().__init__(text)
        self._text = text
        self._colour = QColor(palette.muted)
        self._first_tokens: Sequence[int] = [0]
        text.document().documentLayout().documentSizeChanged.connect(self.update)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)

    def set_first_tokens(self, first_tokens: Sequence[int]) -> None:
        """The index, from 0, of each paragraph's first token."""
        self._first_tokens = first_tokens
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the numbers at the first line of their paragraphs."""
        painter = QPainter(self)
        painter.setPen(self._colour)
        painter.setFont(mono_font(11))
        layout = self._text.document().documentLayout()
        block = self._text.document().begin()
        for first in self._first_tokens:
            if not block.isValid() or block.layout().lineCount() == 0:
                break
            top = layout.blockBoundingRect(block).top()
            line = block.layout().lineAt(0)
            area = QRectF(0, top + line.y(), GUTTER_PX - 14, line.height())
            painter.drawText(area, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom, str(first + 1))
            block = block.next()
        painter.end()
