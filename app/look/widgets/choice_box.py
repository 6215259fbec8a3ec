"""A box to choose from a list; paints its own arrow, which a style sheet cannot do without a file."""

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF, QWheelEvent
from PySide6.QtWidgets import QComboBox, QWidget

from app.look.theme import Palette


class ChoiceBox(QComboBox):
    """Scrolling over it scrolls the page, and changes nothing."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._colour = QColor(palette.muted)

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._colour = QColor(palette.muted)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The box, and a chevron at its right."""
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._colour, 1.6, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        x, y = self.width() - 15.0, self.height() / 2
        painter.drawPolyline(QPolygonF([QPointF(x - 3.5, y - 2), QPointF(x, y + 2), QPointF(x + 3.5, y - 2)]))
        painter.end()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Left to the page."""
        event.ignore()
