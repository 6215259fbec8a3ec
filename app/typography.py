"""The fonts and their sizes, in logical pixels."""

import sys

from PySide6.QtGui import QFont, QFontDatabase, QGuiApplication

BODY_PX = 15
SMALL_PX = 12
LINE_PX = 24  # of a line of body text; a font that needs more takes more

_SANS = ("Inter", "Noto Sans", "Cantarell", "Ubuntu", "Segoe UI", "DejaVu Sans")
_MONO = ("SF Mono", "Menlo", "JetBrains Mono", "Noto Sans Mono", "Cascadia Mono", "DejaVu Sans Mono")


def _available(names: tuple[str, ...]) -> list[str]:
    installed = set(QFontDatabase.families())
    return [name for name in names if name in installed]


def body_font(pixels: int = BODY_PX) -> QFont:
    """The system's interface font on a Mac, a well-drawn sans elsewhere."""
    font = QFont(QGuiApplication.font())
    if sys.platform != "darwin" and (families := _available(_SANS)):
        font.setFamilies([*families, "Noto Color Emoji"])
    font.setPixelSize(pixels)
    return font


def mono_font(pixels: int = BODY_PX - 2) -> QFont:
    """A fixed-width font for code."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    if families := _available(_MONO):
        font.setFamilies(families)
    font.setStyleHint(QFont.StyleHint.Monospace)
    font.setPixelSize(pixels)
    return font
