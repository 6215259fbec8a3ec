"""How each kind of token looks: a colour and an underline of its own, so that either is enough to tell it."""

from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication
from PySide6.QtGui import QColor, QTextCharFormat

from app.engine.protocol import TokenKind
from app.look.theme import Palette
from app.look.typography import scaled

Colouring = Literal["kind", "probability"]

_Underline = QTextCharFormat.UnderlineStyle


@dataclass(frozen=True, slots=True)
class TokenStyle:
    """The name of a kind, what it means, and how it is underlined."""

    name: str
    meaning: str
    underline: QTextCharFormat.UnderlineStyle


TOKEN_STYLES: dict[TokenKind, TokenStyle] = {
    "accepted": TokenStyle(
        QT_TRANSLATE_NOOP("TokenStyle", "accepted"),
        QT_TRANSLATE_NOOP("TokenStyle", "drafted, and the target agreed"),
        _Underline.SingleUnderline,
    ),
    "correction": TokenStyle(
        QT_TRANSLATE_NOOP("TokenStyle", "correction"),
        QT_TRANSLATE_NOOP("TokenStyle", "the target's own, after a rejected draft"),
        _Underline.WaveUnderline,
    ),
    "bonus": TokenStyle(
        QT_TRANSLATE_NOOP("TokenStyle", "bonus"),
        QT_TRANSLATE_NOOP("TokenStyle", "one more for free, after a draft accepted whole"),
        _Underline.DashUnderline,
    ),
    "plain": TokenStyle(
        QT_TRANSLATE_NOOP("TokenStyle", "plain"),
        QT_TRANSLATE_NOOP("TokenStyle", "nothing was drafted"),
        _Underline.DotLine,
    ),
}
# From the least probability that a band holds: the surer the target was, the quieter the token looks.
PROBABILITY_BANDS: tuple[tuple[float, str, QTextCharFormat.UnderlineStyle], ...] = (
    (0.9, QT_TRANSLATE_NOOP("TokenStyle", "p 0.9 and more"), _Underline.NoUnderline),
    (0.5, QT_TRANSLATE_NOOP("TokenStyle", "0.5 to 0.9"), _Underline.DotLine),
    (0.1, QT_TRANSLATE_NOOP("TokenStyle", "0.1 to 0.5"), _Underline.DashUnderline),
    (0.0, QT_TRANSLATE_NOOP("TokenStyle", "under 0.1"), _Underline.WaveUnderline),
)
GHOST_NAME = QT_TRANSLATE_NOOP("TokenStyle", "rejected")
GHOST_PX = 13  # a little smaller: it is not part of the answer


def told(name: str) -> str:
    """A name or a meaning of this module, in the language of the window."""
    return QCoreApplication.translate("TokenStyle", name)


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
    fmt.setProperty(QTextCharFormat.Property.FontPixelSize, scaled(GHOST_PX))
    fmt.setFontStrikeOut(True)
    return fmt


def probability_format(p: float | None, palette: Palette) -> QTextCharFormat:
    """The format of a token that the target gave probability `p`: a tint and an underline for each band."""
    fmt = QTextCharFormat()
    fmt.setForeground(QColor(palette.text))
    bands = enumerate(PROBABILITY_BANDS)
    band, underline = next(((i, style) for i, (least, _, style) in bands if p is not None and p >= least), (0, None))
    if underline is not None:
        fmt.setUnderlineStyle(underline)
        fmt.setUnderlineColor(QColor(palette.correction))
    if band:
        fmt.setBackground(_mixed(palette.window, palette.correction, 0.09 * band))
    return fmt


def _mixed(ground: str, colour: str, share: float) -> QColor:
    first, second = QColor(ground), QColor(colour)
    channels = zip(first.getRgb()[:3], second.getRgb()[:3], strict=True)
    return QColor(*(round(a + share * (b - a)) for a, b in channels))
