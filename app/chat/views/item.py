"""How a line of the sidebar is drawn: a heading, or a chat with the place that a search found in it."""

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QTextDocument
from PySide6.QtWidgets import QStyleOptionViewItem

from app.look.typography import SMALL_PX, body_font, scaled
from app.look.widgets.list_line import TITLE_PX, Index, LineDelegate, line_height
from app.store import MATCH_END, MATCH_START

CHAT = Qt.ItemDataRole.UserRole
SNIPPET = Qt.ItemDataRole.UserRole + 1
MARK = Qt.ItemDataRole.UserRole + 2
"""ANSWERING, UNREAD, or None."""
ANSWERING, UNREAD = "answering", "unread"
MARK_PX = 24  # kept for the mark at the end of the line
DOT_PX = 7


class ChatDelegate(LineDelegate):
    """Draws in the palette's colours; an open chat has a rounded ground."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one line."""
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if index.data(CHAT) is None:
            self.draw_heading(painter, option.rect, str(index.data()))
        else:
            self._draw_chat(painter, option, index)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Headings have room above them, found chats a second line."""
        line = line_height(TITLE_PX)
        if index.data(CHAT) is None:
            return QSize(0, line_height(SMALL_PX) + 18)
        return QSize(0, line + 14 + (line_height(SMALL_PX) + 2 if index.data(SNIPPET) else 0))

    def _draw_chat(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        inner = self.draw_ground(painter, option)
        painter.setFont(body_font(TITLE_PX))
        painter.setPen(QColor(self._palette.text))
        metrics = painter.fontMetrics()
        if mark := index.data(MARK):
            self._draw_mark(painter, inner.adjusted(inner.width() - scaled(MARK_PX), 0, 0, 0), metrics.height(), mark)
        width = inner.width() - (scaled(MARK_PX) if mark else 0)
        title = metrics.elidedText(str(index.data()), Qt.TextElideMode.ElideRight, width)
        painter.drawText(inner, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, title)
        if snippet := str(index.data(SNIPPET) or ""):
            self._draw_snippet(painter, inner.adjusted(0, metrics.height() + 2, 0, 0), snippet)

    def _draw_mark(self, painter: QPainter, place: QRect, height: int, mark: str) -> None:
        """Three small dots for what is being said, one large one for what was said unheard: told apart by shape."""
        painter.save()
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self._palette.accent))
        middle, size = place.top() + height / 2, scaled(DOT_PX)
        if mark == UNREAD:
            painter.drawEllipse(QRectF(place.right() - size, middle - size / 2, size, size))
        else:
            dot = size * 0.45
            for number in range(3):
                left = place.right() - dot - number * dot * 1.8
                painter.drawEllipse(QRectF(left, middle - dot / 2, dot, dot))
        painter.restore()

    def _draw_snippet(self, painter: QPainter, rect: QRect, snippet: str) -> None:
        """The found words are bold: colour alone would not tell."""
        start = max(0, snippet.find(MATCH_START) - 12)
        shown = ("…" if start else "") + snippet[start:]
        markup = shown.replace("&", "&amp;").replace("<", "&lt;").replace(MATCH_START, "<b>").replace(MATCH_END, "</b>")
        document = QTextDocument()
        document.setDefaultFont(body_font(SMALL_PX))
        document.setDocumentMargin(0)
        document.setHtml(f'<span style="color: {self._palette.muted}; white-space: pre">{markup}</span>')
        painter.setClipRect(rect)
        painter.translate(rect.topLeft())
        document.drawContents(painter)
