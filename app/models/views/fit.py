"""A bar of the machine's memory, with what a choice would take of it."""

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.engine.model_records import Room
from app.look.theme import Palette
from app.look.typography import scaled
from app.models.choice import COMFORTABLE

HEIGHT_PX = 12


class FitBar(QWidget):
    """The whole bar is what is there, the mark where it becomes tight. Its words stand beside it, never in it."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._palette = palette
        self._part, self._room = 0.0, "unknown"
        self.setFixedHeight(scaled(HEIGHT_PX))
        self.setMinimumWidth(80)

    def show_room(self, needed_bytes: int, available_bytes: int, room: Room, words: str) -> None:
        """Show what is needed of what is there."""
        self._part, self._room = needed_bytes / max(1, available_bytes), room
        self.setAccessibleName(words)
        self.setToolTip(words)
        self.update()

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        self.update()

    def sizeHint(self) -> QSize:
        """As wide as it may be."""
        return QSize(320, scaled(HEIGHT_PX))

    def paintEvent(self, event: QPaintEvent) -> None:
        """What does not fit is hatched: colour alone would not tell."""
        palette = self._palette
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        whole = QRectF(0, 2, self.width(), self.height() - 4)
        painter.setBrush(QColor(palette.hover))
        painter.drawRoundedRect(whole, 4, 4)
        colours = {"fits": palette.accent, "tight": palette.correction}
        colour = QColor(colours.get(self._room, palette.danger))
        painter.setBrush(colour if self._part <= 1 else Qt.BrushStyle.BDiagPattern)
        if self._part > 1:
            painter.setBrush(colour)
            painter.setOpacity(0.35)
            painter.drawRoundedRect(whole, 4, 4)
            painter.setOpacity(1.0)
            brush = painter.brush()
            brush.setStyle(Qt.BrushStyle.BDiagPattern)
            painter.setBrush(brush)
        taken = QRectF(whole)
        taken.setWidth(max(4.0, whole.width() * min(1.0, self._part)))
        painter.drawRoundedRect(taken, 4, 4)
        painter.setBrush(QColor(palette.text))
        painter.drawRect(QRectF(whole.width() * COMFORTABLE, 0, 1.5, self.height()))
        painter.end()
