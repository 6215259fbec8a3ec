"""How each kind of token looks: a colour and an underline of its own, so that either is enough to tell it."""

from dataclasses import dataclass

from PySide6.QtGui import QColor, QTextCharFormat

from app.protocol import TokenKind
from app.theme import Palette

_Underline = QTextCharFormat.UnderlineStyle


@dataclass(frozen=True, slots=True)
class TokenStyle:
    """The name of a kind, what it means, and how it is underlined."""

    name: str
    meaning: str
    underline: QTextCharFormat.UnderlineStyle


TOKEN_STYLES: dict[TokenKind, TokenStyle] = {
    "accepted": TokenStyle("accepted", "drafted, and the target agreed", _Underline.SingleUnderline),
    "correction": TokenStyle("correction", "the target's own, after a rejected draft", _Underline.WaveUnderline),
    "bonus": TokenStyle("bonus", "one more for free, after a draft accepted whole", _Underline.DashUnderline),
    "plain": TokenStyle("plain", "nothing was drafted", _Underline.DotLine),
}
GHOST_NAME = "rejected"
GHOST_PX = 13  # a little smaller: it is not part of the answer


def token_format(kind: TokenKind, palette: Palette) -> QTextCharFormat:
    """The format of an emitted token."""
    colour = QColor(getattr(palette, kind))
    fmt = QTextCharFormat()
    fmt.setForeground(QColor(palette.text))
    fmt.setUnderlineStyle(TOKEN_STYLES[kind].underline)
    fmt.setUnderlineColor(colour)
    if kind in ("correction", "bonus"):
        fmt.setBackground(QColor(getattr(palette, f"{kind}_tint")))
    return fmt


def ghost_format(palette: Palette) -> QTextCharFormat:
    """The format of a draft that was rejected: struck through, without an underline."""
    fmt = QTextCharFormat()
    fmt.setForeground(QColor(palette.ghost))
    fmt.setProperty(QTextCharFormat.Property.FontPixelSize, GHOST_PX)
    fmt.setFontStrikeOut(True)
    return fmt
