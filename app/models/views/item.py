"""How a line of the list of models is drawn: a heading, or a name with what is told of it and a mark at the right."""

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QStyleOptionViewItem

from app.look.typography import SMALL_PX, body_font
from app.look.widgets.list_line import TITLE_PX, Index, LineDelegate, line_height
from app.models.choice import Entry

ENTRY = Qt.ItemDataRole.UserRole


class ModelDelegate(LineDelegate):
    """Draws an Entry in the palette's colours."""

    inset, pad = 4, 10

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one line."""
        entry: Entry = index.data(ENTRY)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if entry.choice is None:
            self.draw_heading(painter, option.rect, entry.title)
        else:
            self._draw_model(painter, option, entry)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Headings have room above them, models two lines."""
        entry: Entry = index.data(ENTRY)
        if entry.choice is None:
            return QSize(0, line_height(SMALL_PX) + 20)
        return QSize(0, line_height(TITLE_PX) + line_height(SMALL_PX) + 18)

    def _draw_model(self, painter: QPainter, option: QStyleOptionViewItem, entry: Entry) -> None:
        inner = self.draw_ground(painter, option)
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
