"""An answer as its tokens: each in the style of its kind, with rejected drafts as ghosts where they were rejected."""

import re
from bisect import bisect_right
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPoint, QRect, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QMouseEvent, QResizeEvent, QTextBlockFormat, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QTextEdit, QToolTip, QWidget

from app.engine.protocol import DraftedToken, EmittedToken, Round
from app.look.theme import Palette
from app.look.typography import scaled
from app.look.widgets.flow_text import FlowText
from app.tokens.gutter import GUTTER_PX, TokenGutter
from app.tokens.style import Colouring, ghost_format, probability_format, token_format
from app.tokens.tooltip import emitted_tooltip, ghost_tooltip, visible_text

PARAGRAPH_TOKENS = 60  # Qt lays a paragraph out again whole: long ones make every round slow
LINE_PX = 28  # room for a wavy underline
TAB_PAD = "\u2003"  # behind a tab's sign, so that it indents more than a letter
_LINE_START = re.compile(r"(?<=\n)(?!\n)")
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
        round_hovered: the index of the round under the pointer, -1 when there is none any more.
        round_chosen: the index of the round that was clicked on.
    """

    round_hovered = Signal(int)
    round_chosen = Signal(int)

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(self.tr("Tokens of the answer"))
        self.setViewportMargins(GUTTER_PX, 0, 0, 0)
        self.setMouseTracking(True)
        self._palette = palette
        self._spans: list[_Span] = []
        self._starts: list[int] = []
        self._first_tokens = [0]
        self._gutter = TokenGutter(self, palette)
        self._num_tokens = 0
        self._is_indenting = False  # whether the line has nothing but white space yet
        self._hovered: int | None = None
        self._marked: int | None = None
        self._playhead: int | None = None
        self._rounds: list[Round] = []
        self.colouring: Colouring = "kind"
        self.has_ghosts = True
        cursor = QTextCursor(self.document())
        cursor.setBlockFormat(self._block_format())

    def append_round(self, one: Round) -> None:
        """Add a round's tokens, and its rejected draft where it stood.

        A draft that was rejected for the end of the answer stood in nothing's place: the round's card has it.
        """
        self._rounds.append(one)
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.beginEditBlock()
        ghosts = [token for token in one.drafted if token.state == "rejected"] if self.has_ghosts else []
        for token in one.emitted:
            if token.kind not in ("accepted", "plain"):
                for ghost in ghosts:  # a tree may have several that stood in this place
                    self._insert_ghost(cursor, ghost, one, token)
                    if not token.text.startswith(" "):  # a hair's breadth between the two
                        cursor.insertText("\u2009", QTextCharFormat())
            self._insert_token(cursor, token, one)
        cursor.endEditBlock()

    def show_as(self, colouring: Colouring, *, has_ghosts: bool) -> None:
        """Write everything again: coloured by kind or by the target's probability, with ghosts or without."""
        if (colouring, has_ghosts) == (self.colouring, self.has_ghosts):
            return
        self.colouring, self.has_ghosts = colouring, has_ghosts
        rounds, self._rounds = self._rounds, []
        self._spans, self._starts, self._first_tokens, self._num_tokens = [], [], [0], 0
        self._is_indenting = False
        self._gutter.set_first_tokens(self._first_tokens)
        self.clear()
        QTextCursor(self.document()).setBlockFormat(self._block_format())
        for one in rounds:
            self.append_round(one)
        self._show_marks()

    def mark(self, round_index: int | None) -> None:
        """Mark the tokens of a round that is pointed at elsewhere, or of none."""
        if round_index != self._marked:
            self._marked = round_index
            self._show_marks()

    def set_playhead(self, num_rounds: int | None) -> None:
        """Make what the replay has not reached faint; None for nothing."""
        if num_rounds != self._playhead:
            self._playhead = num_rounds
            self._show_marks()

    def place_of(self, round_index: int) -> QRect | None:
        """Where a round's first token stands in the widget."""
        for span in self._spans:
            if span.round_index == round_index:
                cursor = QTextCursor(self.document())
                cursor.setPosition(span.start)
                return self.cursorRect(cursor)
        return None

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
        by_kind = self.colouring == "kind"
        fmt = token_format(token.kind, self._palette) if by_kind else probability_format(token.p, self._palette)
        self._insert(cursor, _broken(token.text), fmt, one.index, emitted_tooltip(token, one))
        line = token.text.rpartition("\n")[2]
        self._is_indenting = not line.strip() and (self._is_indenting or "\n" in token.text)

    def _insert_ghost(self, cursor: QTextCursor, ghost: DraftedToken, one: Round, replaced_by: EmittedToken) -> None:
        tooltip = ghost_tooltip(ghost, one, replaced_by)
        text = visible_text(ghost.text)  # a rejected line break breaks no line
        self._insert(cursor, text, ghost_format(self._palette), one.index, tooltip)

    def _insert(self, cursor: QTextCursor, visible: str, fmt: QTextCharFormat, round_index: int, tooltip: str) -> None:
        body = visible.lstrip(" ") or visible
        num_spaces = len(visible) - len(body)
        # The one space between two words is not wanted at a paragraph's beginning; an indent is.
        if self._is_indenting or num_spaces > 1 or not cursor.atBlockStart():
            cursor.insertText(" " * num_spaces, QTextCharFormat())
        start = cursor.position()
        cursor.insertText(body, fmt)
        self._starts.append(start)
        self._spans.append(_Span(start, cursor.position(), round_index, tooltip))

    def _block_format(self) -> QTextBlockFormat:
        block_format = QTextBlockFormat()
        block_format.setLineHeight(scaled(LINE_PX), _AT_LEAST)
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
        self._show_marks()
        self.round_hovered.emit(-1 if round_index is None else round_index)

    def _show_marks(self) -> None:
        shown = self._marked if self._hovered is None else self._hovered
        marks = []
        if self._playhead is not None:
            ahead = next((span.start for span in self._spans if span.round_index >= self._playhead), None)
            if ahead is not None:
                marks.append(self._selection(ahead, self._spans[-1].end))
                marks[0].format.setForeground(QColor(self._palette.border))
                marks[0].format.setBackground(QColor(self._palette.window))
        for span in self._spans if shown is not None else ():
            if span.round_index == shown:
                marks.append(self._selection(span.start, span.end))
                marks[-1].format.setBackground(QColor(self._palette.selection))
        self.setExtraSelections(marks)

    def _selection(self, start: int, end: int) -> QTextEdit.ExtraSelection:
        selection = QTextEdit.ExtraSelection()
        selection.cursor = QTextCursor(self.document())
        selection.cursor.setPosition(start)
        selection.cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        return selection

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Mark the round under the pointer."""
        span = self._hit(event.position().toPoint())
        self._hover(span.round_index if span else None)
        super().mouseMoveEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the round under the pointer."""
        if (span := self._hit(event.position().toPoint())) is not None:
            self.round_chosen.emit(span.round_index)
        super().mousePressEvent(event)

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


def _broken(text: str) -> str:
    """A token's text made visible, with a line break behind each that it holds: an indent stands in its own line."""
    *lines, last = _LINE_START.split(text.replace("\r\n", "\n"))
    shown = [*map(visible_text, lines), visible_text(last) if last or not lines else ""]
    return "\u2028".join(shown).replace("⇥", f"⇥{TAB_PAD}")
