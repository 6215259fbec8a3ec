"""One round in words: who drafted and why so many, what became of it, what it cost."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QTextBlockFormat, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from app.protocol import Round
from app.theme import Palette
from app.views.flow_text import FlowText
from app.views.round_words import choice_words
from app.views.token_style import ghost_format, token_format
from app.views.tokens_view import visible_text

LINE_PX = 26


class RoundCard(QWidget):
    """A heading, the choice, the drafted tokens in order, the token the target added, and the times."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._palette = palette
        self._title = QLabel()
        self._title.setProperty("role", "section")
        self._choice = QLabel(wordWrap=True)
        self._choice.setProperty("role", "muted")
        self._choice.setAccessibleName("Drafter, and why this length")
        self._tokens = FlowText()
        self._tokens.setAccessibleName("Tokens of the round")
        self._cost = QLabel(wordWrap=True)
        self._cost.setProperty("role", "muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        # Room for two lines at least, so that what stands below does not jump from round to round.
        room = QWidget()
        room.setMinimumHeight(2 * LINE_PX)
        QVBoxLayout(room).addWidget(self._tokens, 0, Qt.AlignmentFlag.AlignTop)
        room.layout().setContentsMargins(0, 0, 0, 0)
        for widget in (self._title, self._choice, room, self._cost):
            layout.addWidget(widget)

    def show_round(self, one: Round, palette: Palette, *, is_latest: bool) -> None:
        """Show `one`."""
        self._title.setText(f"Round {one.index}" + (" · the latest" if is_latest else ""))
        words = choice_words(one)
        self._choice.setText(words[:1].upper() + words[1:])
        self._choice.setVisible(bool(words))
        self._write_tokens(one, palette)
        verdict = f"{one.accepted_count} of {len(one.drafted)} drafted accepted" if one.drafted else "Nothing drafted"
        self._cost.setText(f"{verdict}\ndraft {one.draft_ms:.0f} ms · verify {one.verify_ms:.0f} ms")

    def _write_tokens(self, one: Round, palette: Palette) -> None:
        self._tokens.clear()
        cursor = QTextCursor(self._tokens.document())
        cursor.beginEditBlock()
        block_format = QTextBlockFormat()
        block_format.setLineHeight(LINE_PX, QTextBlockFormat.LineHeightTypes.MinimumHeight.value)
        cursor.setBlockFormat(block_format)
        for token in one.drafted:
            match token.state:
                case "accepted":
                    self._insert(cursor, token.text, token_format("accepted", palette))
                case "rejected":
                    self._insert(cursor, token.text, ghost_format(palette))
                case "untested":
                    untested = QTextCharFormat()
                    untested.setForeground(token_format("plain", palette).underlineColor())
                    self._insert(cursor, token.text, untested)
        for emitted in one.emitted:
            if emitted.kind != "accepted":
                self._insert(cursor, emitted.text, token_format(emitted.kind, palette))
        cursor.endEditBlock()

    def _insert(self, cursor: QTextCursor, text: str, fmt: QTextCharFormat) -> None:
        if not cursor.atStart():
            cursor.insertText("  ", QTextCharFormat())
        cursor.insertText(visible_text(text).strip() or visible_text(text), fmt)
