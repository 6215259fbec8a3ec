"""How a line of a list is drawn: a heading, or an entry on a rounded ground while it is chosen or pointed at."""

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from app.look.theme import Palette
from app.look.typography import SMALL_PX, body_font

TITLE_PX = 13
RADIUS_PX = 7
Index = QModelIndex | QPersistentModelIndex


class LineDelegate(QStyledItemDelegate):
    """Draws in the palette's colours; `inset` is how far the ground is from the list's edge, `pad` the text from it."""

    inset = 8
    pad = 8

    def __init__(self, palette: Palette, parent: QWidget) -> None:
        super().__init__(parent)
        self._palette = palette

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette

    def draw_heading(self, painter: QPainter, rect: QRect, text: str) -> None:
        """A quiet line at the lower edge of its place."""
        font = body_font(SMALL_PX)
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        painter.setPen(QColor(self._palette.muted))
        inner = rect.adjusted(self.inset + self.pad, 0, -self.inset, -4)
        shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, inner.width())
        painter.drawText(inner, Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft, shown)

    def draw_ground(self, painter: QPainter, option: QStyleOptionViewItem) -> QRect:
        """The ground that the entry's state asks for; returns where its text goes."""
        ground = option.rect.adjusted(self.inset, 1, -self.inset, -1)
        is_chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        if is_chosen or option.state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(self._palette.selection if is_chosen else self._palette.hover))
            painter.drawRoundedRect(ground, RADIUS_PX, RADIUS_PX)
        if is_chosen and option.state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QColor(self._palette.accent))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(ground, RADIUS_PX, RADIUS_PX)
        return ground.adjusted(self.pad, 6, -self.pad, -6)


def line_height(pixels: int) -> int:
    """The height of a line of text of this size."""
    return QFontMetrics(body_font(pixels)).height()
