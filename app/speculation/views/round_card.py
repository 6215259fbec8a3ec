"""One round in words: who drafted and why so many, what became of it, what it cost."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QTextBlockFormat, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from app.engine.drafters import choice_words, line_of
from app.engine.protocol import DraftedToken, Round
from app.look.theme import Palette
from app.look.typography import scaled
from app.look.widgets.flow_text import FlowText
from app.speculation.tally import in_reading_order
from app.tokens import ghost_format, token_format, visible_text

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
        self._choice.setAccessibleName(self.tr("Drafter, and why this length"))
        self._tokens = FlowText()
        self._tokens.setAccessibleName(self.tr("Tokens of the round"))
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
        self._title.setText(self.tr("Round {0}").format(one.index) + (self.tr(" · the latest") if is_latest else ""))
        words = choice_words(one)
        self._choice.setText(words[:1].upper() + words[1:])
        self._choice.setVisible(bool(words))
        self._choice.setToolTip(line_of(one.drafter or ""))
        if one.is_tree:
            self._write_tree(one, palette)
        else:
            self._write_tokens(one, palette)
        verdict = (
            self.tr("{0} of {1} drafted accepted").format(one.accepted_count, len(one.drafted))
            if one.drafted
            else self.tr("Nothing drafted")
        )
        times = [("verify", one.own_verify_ms), ("draft", one.draft_ms), ("host", one.host_ms)]
        if one.wire_ms:
            times.insert(1, ("wire", one.wire_ms))
        spent = " · ".join(f"{name} {_milliseconds(ms)}" for name, ms in times)
        self._cost.setText(f"{verdict}\n{spent}")

    def _write_tokens(self, one: Round, palette: Palette) -> None:
        self._tokens.clear()
        cursor = QTextCursor(self._tokens.document())
        cursor.beginEditBlock()
        block_format = QTextBlockFormat()
        block_format.setLineHeight(scaled(LINE_PX), QTextBlockFormat.LineHeightTypes.MinimumHeight.value)
        cursor.setBlockFormat(block_format)
        for token in one.drafted:
            self._insert(cursor, token.text, _format(token, palette))
        for emitted in one.emitted:
            if emitted.kind != "accepted":
                self._insert(cursor, emitted.text, token_format(emitted.kind, palette))
        cursor.endEditBlock()

    def _write_tree(self, one: Round, palette: Palette) -> None:
        """A line a token, indented under the one it follows; the target's own token at the end of the path."""
        self._tokens.clear()
        cursor = QTextCursor(self._tokens.document())
        cursor.beginEditBlock()
        faint = QTextCharFormat()
        faint.setForeground(QColor(palette.muted))
        for token, depth in in_reading_order(one):
            if not cursor.atStart():
                cursor.insertBlock()
            cursor.insertText("\u2003" * depth + "└ ", faint)
            cursor.insertText(visible_text(token.text).strip() or visible_text(token.text), _format(token, palette))
            told = [f"{name} {value:.2f}" for name, value in (("p", token.p), ("q", token.q)) if value is not None]
            cursor.insertText("  " + " · ".join(told), faint)
        for emitted in one.emitted:
            if emitted.kind != "accepted":
                cursor.insertBlock()
                cursor.insertText("\u2003" * one.accepted_count + "→ ", faint)
                words = visible_text(emitted.text)
                cursor.insertText(words.strip() or words, token_format(emitted.kind, palette))
        cursor.endEditBlock()

    def _insert(self, cursor: QTextCursor, text: str, fmt: QTextCharFormat) -> None:
        if not cursor.atStart():
            cursor.insertText("  ", QTextCharFormat())
        cursor.insertText(visible_text(text).strip() or visible_text(text), fmt)


def _format(token: DraftedToken, palette: Palette) -> QTextCharFormat:
    """How a drafted token looks by what became of it."""
    match token.state:
        case "accepted":
            return token_format("accepted", palette)
        case "rejected":
            return ghost_format(palette)
        case "untested":
            untested = QTextCharFormat()
            untested.setForeground(token_format("plain", palette).underlineColor())
            return untested


def _milliseconds(value: float) -> str:
    return f"{value:.0f} ms" if value >= 10 or not value else f"{value:.1f} ms"
