"""An answer as its tokens: each in the style of its kind, with rejected drafts as ghosts where they were rejected."""

from bisect import bisect_right
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPoint, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QMouseEvent, QResizeEvent, QTextBlockFormat, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QTextEdit, QToolTip, QWidget

from app.protocol import DraftedToken, EmittedToken, Round
from app.theme import Palette
from app.views.flow_text import FlowText
from app.views.round_words import choice_words
from app.views.token_gutter import GUTTER_PX, TokenGutter
from app.views.token_style import GHOST_NAME, TOKEN_STYLES, ghost_format, token_format

PARAGRAPH_TOKENS = 60  # Qt lays a paragraph out again whole: long ones make every round slow
LINE_PX = 28  # room for a wavy underline
_AT_LEAST = QTextBlockFormat.LineHeightTypes.MinimumHeight.value


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    round_index: int
    tooltip: str


class TokensView(FlowText):
    """Append-only; one edit block a round.

    Signals:
        round_hovered: the index of the round under the pointer.
    """

    round_hovered = Signal(int)

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Tokens of the answer")
        self.setViewportMargins(GUTTER_PX, 0, 0, 0)
        self.setMouseTracking(True)
        self._palette = palette
        self._spans: list[_Span] = []
        self._starts: list[int] = []
        self._first_tokens = [0]
        self._gutter = TokenGutter(self, palette)
        self._num_tokens = 0
        self._hovered: int | None = None
        cursor = QTextCursor(self.document())
        cursor.setBlockFormat(self._block_format())

    def append_round(self, one: Round) -> None:
        """Add a round's tokens, and its rejected draft where it stood."""
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.beginEditBlock()
        ghosts = [token for token in one.drafted if token.state == "rejected"]
        for token in one.emitted:
            if ghosts and token.kind not in ("accepted", "plain"):
                self._insert_ghost(cursor, ghosts.pop(0), one)
                if not token.text.startswith(" "):  # a hair's breadth between the two
                    cursor.insertText("\u2009", QTextCharFormat())
            self._insert_token(cursor, token, one)
        for ghost in ghosts:
            self._insert_ghost(cursor, ghost, one)
        cursor.endEditBlock()

    def tooltip_at(self, position: int) -> str:
        """What is known of the token at a position of the document, empty where there is none."""
        span = self._span_at(position)
        return span.tooltip if span else ""

    def _insert_token(self, cursor: QTextCursor, token: EmittedToken, one: Round) -> None:
        count = self._num_tokens - self._first_tokens[-1]
        begins_word = token.text[:1].isspace()
        if count >= PARAGRAPH_TOKENS and (begins_word or count >= PARAGRAPH_TOKENS + 20):
            cursor.insertBlock(self._block_format())
            self._first_tokens.append(self._num_tokens)
            self._gutter.set_first_tokens(self._first_tokens)
        self._num_tokens += 1
        where = f"{TOKEN_STYLES[token.kind].name} · round {one.index} · position {token.position}"
        self._insert(
            cursor, token.text, token_format(token.kind, self._palette), one.index, _tooltip(token, where, one)
        )
        if "\n" in token.text:  # a rejected line break breaks no line
            cursor.insertText("\u2028", QTextCharFormat())

    def _insert_ghost(self, cursor: QTextCursor, token: DraftedToken, one: Round) -> None:
        where = f"{GHOST_NAME} draft · round {one.index}"
        self._insert(cursor, token.text, ghost_format(self._palette), one.index, _tooltip(token, where, one))

    def _insert(self, cursor: QTextCursor, text: str, fmt: QTextCharFormat, round_index: int, tooltip: str) -> None:
        bare = QTextCharFormat()
        visible = visible_text(text)
        body = visible.lstrip(" ") or visible
        if not cursor.atBlockStart():
            cursor.insertText(" " * (len(visible) - len(body)), bare)
        start = cursor.position()
        cursor.insertText(body, fmt)
        self._starts.append(start)
        self._spans.append(_Span(start, cursor.position(), round_index, tooltip))

    def _block_format(self) -> QTextBlockFormat:
        block_format = QTextBlockFormat()
        block_format.setLineHeight(LINE_PX, _AT_LEAST)
        block_format.setBottomMargin(8)
        return block_format

    def _span_at(self, position: int) -> _Span | None:
        index = bisect_right(self._starts, position) - 1
        return self._spans[index] if index >= 0 and position < self._spans[index].end else None

    def _hit(self, point: QPoint) -> _Span | None:
        position = self.document().documentLayout().hitTest(point.toPointF(), Qt.HitTestAccuracy.ExactHit)
        return self._span_at(position) if position >= 0 else None

    def _hover(self, round_index: int | None) -> None:
        if round_index == self._hovered:
            return
        self._hovered = round_index
        marks = []
        for span in self._spans if round_index is not None else ():
            if span.round_index == round_index:
                mark = QTextEdit.ExtraSelection()
                mark.cursor = QTextCursor(self.document())
                mark.cursor.setPosition(span.start)
                mark.cursor.setPosition(span.end, QTextCursor.MoveMode.KeepAnchor)
                mark.format.setBackground(QColor(self._palette.selection))
                marks.append(mark)
        self.setExtraSelections(marks)
        if round_index is not None:
            self.round_hovered.emit(round_index)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Mark the round under the pointer."""
        span = self._hit(event.position().toPoint())
        self._hover(span.round_index if span else None)
        super().mouseMoveEvent(event)

    def viewportEvent(self, event: QEvent) -> bool:
        """Tell of the token under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            span = self._hit(event.pos())
            QToolTip.showText(event.globalPos(), span.tooltip if span else "", self)
            return True
        if event.type() == QEvent.Type.Leave:
            self._hover(None)
        return super().viewportEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the gutter beside the text."""
        super().resizeEvent(event)
        self._gutter.setGeometry(0, 0, GUTTER_PX, self.height())


def visible_text(text: str) -> str:
    """A token's text with what cannot be seen made visible: a line break, a lone space, a character not yet whole."""
    if not text:
        return "·"
    if not text.strip(" "):
        return "␣" * len(text)
    return text.replace("\r", "").replace("\t", "⇥").replace("\n", "↵")


def _tooltip(token: EmittedToken | DraftedToken, where: str, one: Round) -> str:
    lines = [f"“{visible_text(token.text)}”  {where}"]
    lines.append(f"target p {_probability(token.p)} · draft q {_probability(token.q)}")
    if choice := choice_words(one):
        lines.append(choice)
    return "\n".join(lines)


def _probability(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
