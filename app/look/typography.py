"""The fonts and their sizes, in logical pixels as drawn at the usual font size."""

import math
import sys
from functools import cache

from PySide6.QtGui import QFont, QFontDatabase, QGuiApplication

BODY_PX = 15
SMALL_PX = 12
LINE_PX = 24  # of a line of body text; a font that needs more takes more

SCALES = (0.85, 1.0, 1.15, 1.3, 1.5)  # the font sizes that can be chosen

_scale = 1.0

_SANS = ("Inter", "Noto Sans", "Cantarell", "Ubuntu", "Segoe UI", "DejaVu Sans")
_MONO = ("SF Mono", "Menlo", "JetBrains Mono", "Noto Sans Mono", "Cascadia Mono", "DejaVu Sans Mono")


def scale() -> float:
    """How much larger than drawn all text is."""
    return _scale


def set_scale(factor: float) -> None:
    """Make all text that is written from now on so much larger."""
    global _scale
    _scale = factor


def scaled(pixels: float) -> int:
    """A size that goes with the text, at the chosen font size."""
    return round(pixels * _scale)


def widened(pixels: float) -> int:
    """The width of what stands beside the text: it grows with the letters, and leaves the text its share."""
    return round(pixels * math.sqrt(_scale))


@cache
def _available(names: tuple[str, ...]) -> list[str]:
    installed = set(QFontDatabase.families())
    return [name for name in names if name in installed]


def body_font(pixels: int = BODY_PX) -> QFont:
    """The system's interface font on a Mac, a well-drawn sans elsewhere."""
    font = QFont(QGuiApplication.font())
    if sys.platform != "darwin" and (families := _available(_SANS)):
        font.setFamilies([*families, "Noto Color Emoji"])
    font.setPixelSize(scaled(pixels))
    return font


def mono_font(pixels: int = BODY_PX - 2) -> QFont:
    """A fixed-width font for code."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    if families := _available(_MONO):
        font.setFamilies(families)
    font.setStyleHint(QFont.StyleHint.Monospace)
    font.setPixelSize(scaled(pixels))
    return font
