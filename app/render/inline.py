"""Writes a paragraph's inline markdown at a cursor."""

import re
from collections.abc import Sequence

from markdown_it.token import Token
from PySide6.QtGui import QColor, QFont, QTextCharFormat, QTextCursor

from app.look.theme import Palette
from app.look.typography import mono_font
from app.render.formula import formula_lines

_LETTERS = re.compile(r"([^\W\d_]+)")
_RAISED = {
    0: QTextCharFormat.VerticalAlignment.AlignNormal,
    1: QTextCharFormat.VerticalAlignment.AlignSuperScript,
    -1: QTextCharFormat.VerticalAlignment.AlignSubScript,
}
LINE_SEPARATOR = "\u2028"  # Qt's line break inside a paragraph


class InlineWriter:
    """Emphasis, code, links and breaks; a link keeps its colour and target inside emphasis."""

    def __init__(self, cursor: QTextCursor, palette: Palette, base: QTextCharFormat) -> None:
        self._cursor = cursor
        self._palette = palette
        self._formats = [base]

    def write(self, tokens: Sequence[Token]) -> None:
        """Insert the tokens."""
        for token in tokens:
            self._write_token(token)

    def write_code(self, code: str) -> None:
        """Insert a span of code."""
        fmt = QTextCharFormat(self._formats[-1])
        size = fmt.font().pixelSize()
        fmt.setFont(mono_font(size - 2 if size > 2 else size))
        fmt.setBackground(QColor(self._palette.raised))
        self._cursor.insertText(code, fmt)

    def write_formula(self, latex: str) -> None:
        """Insert mathematics: letters lean, what is raised is raised."""
        for number, line in enumerate(formula_lines(latex)):
            if number:
                self._cursor.insertText(LINE_SEPARATOR, self._formats[-1])
            for piece in line:
                for text in _LETTERS.split(piece.text):
                    fmt = QTextCharFormat(self._formats[-1])
                    fmt.setFontItalic(_LETTERS.fullmatch(text) is not None)
                    fmt.setVerticalAlignment(_RAISED[piece.raised])
                    self._cursor.insertText(text, fmt)

    def _write_token(self, token: Token) -> None:
        match token.type:
            case "softbreak" | "hardbreak":  # models mean the breaks they write
                self._cursor.insertText(LINE_SEPARATOR, self._formats[-1])
            case "code_inline":
                self.write_code(token.content)
            case "math_inline":
                self.write_formula(token.content)
            case "strong_open" | "em_open" | "s_open" | "link_open":
                self._formats.append(self._derived(token))
            case "strong_close" | "em_close" | "s_close" | "link_close":
                self._formats.pop()
            case _:
                self._cursor.insertText(token.content, self._formats[-1])

    def _derived(self, token: Token) -> QTextCharFormat:
        fmt = QTextCharFormat(self._formats[-1])
        match token.type:
            case "strong_open":
                fmt.setFontWeight(QFont.Weight.DemiBold)
            case "em_open":
                fmt.setFontItalic(True)
            case "s_open":
                fmt.setFontStrikeOut(True)
            case "link_open":
                fmt.setAnchor(True)
                fmt.setAnchorHref(str(token.attrs.get("href", "")))
                fmt.setForeground(QColor(self._palette.accent))
                fmt.setFontUnderline(True)
        return fmt
