"""How a line of the sidebar is drawn: a heading, or a chat with the place that a search found in it."""

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QTextDocument
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from app.store.search import CLOSE, OPEN
from app.theme import Palette
from app.typography import SMALL_PX, body_font

CHAT = Qt.ItemDataRole.UserRole
SNIPPET = Qt.ItemDataRole.UserRole + 1
INSET_PX = 8
PAD_PX = 8
TITLE_PX = 13
Index = QModelIndex | QPersistentModelIndex


class ChatDelegate(QStyledItemDelegate):
    """Draws in the palette's colours; an open chat has a rounded ground."""

    def __init__(self, palette: Palette, parent: QWidget) -> None:
        super().__init__(parent)
        self._palette = palette

    def wear(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one line."""
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if index.data(CHAT) is None:
            self._draw_heading(painter, option.rect, str(index.data()))
        else:
            self._draw_chat(painter, option, index)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Headings have room above them, found chats a second line."""
        line = _height(TITLE_PX)
        if index.data(CHAT) is None:
            return QSize(0, _height(SMALL_PX) + 18)
        return QSize(0, line + 14 + (_height(SMALL_PX) + 2 if index.data(SNIPPET) else 0))

    def _draw_heading(self, painter: QPainter, rect: QRect, text: str) -> None:
        font = body_font(SMALL_PX)
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        painter.setPen(QColor(self._palette.muted))
        inner = rect.adjusted(INSET_PX + PAD_PX, 0, -INSET_PX, -4)
        painter.drawText(inner, Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft, text)

    def _draw_chat(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        ground = option.rect.adjusted(INSET_PX, 1, -INSET_PX, -1)
        is_chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        is_hovered = bool(option.state & QStyle.StateFlag.State_MouseOver)
        if is_chosen or is_hovered:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(self._palette.selection if is_chosen else self._palette.hover))
            painter.drawRoundedRect(ground, 7, 7)
        if is_chosen and option.state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QColor(self._palette.accent))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(ground, 7, 7)
        font = body_font(TITLE_PX)
        painter.setFont(font)
        painter.setPen(QColor(self._palette.text))
        inner = ground.adjusted(PAD_PX, 6, -PAD_PX, -6)
        metrics = painter.fontMetrics()
        title = metrics.elidedText(str(index.data()), Qt.TextElideMode.ElideRight, inner.width())
        painter.drawText(inner, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, title)
        if snippet := str(index.data(SNIPPET) or ""):
            self._draw_snippet(painter, inner.adjusted(0, metrics.height() + 2, 0, 0), snippet)

    def _draw_snippet(self, painter: QPainter, rect: QRect, snippet: str) -> None:
        """The found words are bold: colour alone would not tell."""
        start = max(0, snippet.find(OPEN) - 12)
        shown = ("…" if start else "") + snippet[start:]
        markup = shown.replace("&", "&amp;").replace("<", "&lt;").replace(OPEN, "<b>").replace(CLOSE, "</b>")
        document = QTextDocument()
        document.setDefaultFont(body_font(SMALL_PX))
        document.setDocumentMargin(0)
        document.setHtml(f'<span style="color: {self._palette.muted}; white-space: pre">{markup}</span>')
        painter.setClipRect(rect)
        painter.translate(rect.topLeft())
        document.drawContents(painter)


def _height(pixels: int) -> int:
    return QFontMetrics(body_font(pixels)).height()
