"""How a line of the list of models is drawn: a heading, or a name with what is told of it and a mark at the right."""

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from app.theme import Palette
from app.typography import SMALL_PX, body_font
from app.viewmodels.models_choice import Entry

ENTRY = Qt.ItemDataRole.UserRole
INSET_PX, PAD_PX, TITLE_PX = 4, 10, 13
Index = QModelIndex | QPersistentModelIndex


class ModelDelegate(QStyledItemDelegate):
    """Draws an Entry in the palette's colours."""

    def __init__(self, palette: Palette, parent: QWidget) -> None:
        super().__init__(parent)
        self._palette = palette

    def wear(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one line."""
        entry: Entry = index.data(ENTRY)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if entry.choice is None:
            self._draw_heading(painter, option.rect, entry.title)
        else:
            self._draw_model(painter, option, entry)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Headings have room above them, models two lines."""
        entry: Entry = index.data(ENTRY)
        if entry.choice is None:
            return QSize(0, _height(SMALL_PX) + 20)
        return QSize(0, _height(TITLE_PX) + _height(SMALL_PX) + 16)

    def _draw_heading(self, painter: QPainter, rect: QRect, text: str) -> None:
        font = body_font(SMALL_PX)
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        painter.setPen(QColor(self._palette.muted))
        inner = rect.adjusted(INSET_PX + PAD_PX, 0, -PAD_PX, -4)
        shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, inner.width())
        painter.drawText(inner, Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft, shown)

    def _draw_model(self, painter: QPainter, option: QStyleOptionViewItem, entry: Entry) -> None:
        self._draw_ground(painter, option)
        inner = option.rect.adjusted(INSET_PX + PAD_PX, 6, -INSET_PX - PAD_PX, -6)
        top, bottom = Qt.AlignmentFlag.AlignTop, Qt.AlignmentFlag.AlignBottom
        painter.setFont(body_font(SMALL_PX))
        painter.setPen(QColor(self._palette.muted))
        mark_px = painter.fontMetrics().horizontalAdvance(entry.mark) + 12 if entry.mark else 0
        detail = painter.fontMetrics().elidedText(entry.detail, Qt.TextElideMode.ElideRight, inner.width())
        painter.drawText(inner, bottom | Qt.AlignmentFlag.AlignLeft, detail)
        painter.drawText(inner.adjusted(0, 1, 0, 0), top | Qt.AlignmentFlag.AlignRight, entry.mark)
        painter.setFont(body_font(TITLE_PX))
        painter.setPen(QColor(self._palette.text))
        # A name's end tells its quantisation, its beginning its family: what goes is the middle.
        title = painter.fontMetrics().elidedText(
            entry.title, Qt.TextElideMode.ElideMiddle, max(0, inner.width() - mark_px)
        )
        painter.drawText(inner, top | Qt.AlignmentFlag.AlignLeft, title)

    def _draw_ground(self, painter: QPainter, option: QStyleOptionViewItem) -> None:
        ground = option.rect.adjusted(INSET_PX, 1, -INSET_PX, -1)
        is_chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        if is_chosen or option.state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(self._palette.selection if is_chosen else self._palette.hover))
            painter.drawRoundedRect(ground, 7, 7)
        if is_chosen and option.state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QColor(self._palette.accent))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(ground, 7, 7)


def _height(pixels: int) -> int:
    return QFontMetrics(body_font(pixels)).height()
