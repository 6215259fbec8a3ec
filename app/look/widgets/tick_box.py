"""A check box that paints its own tick, which a style sheet cannot do without a file."""

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QCheckBox, QStyle, QStyleOptionButton, QWidget

from app.look.theme import Palette

_TICK = ((0.24, 0.53), (0.42, 0.71), (0.77, 0.31))  # as parts of the box


class TickBox(QCheckBox):
    """A box that is filled and ticked while it is checked."""

    def __init__(self, text: str, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self._colour = QColor(palette.on_accent)

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._colour = QColor(palette.on_accent)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The box, and the tick on it."""
        super().paintEvent(event)
        if not self.isChecked():
            return
        option = QStyleOptionButton()
        self.initStyleOption(option)
        box = QRectF(self.style().subElementRect(QStyle.SubElement.SE_CheckBoxIndicator, option, self))
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._colour, 1.8, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        points = [QPointF(box.left() + x * box.width(), box.top() + y * box.height()) for x, y in _TICK]
        painter.drawPolyline(QPolygonF(points))
        painter.end()
