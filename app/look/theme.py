"""The two palettes, and which of them is in use."""

from dataclasses import dataclass, replace
from typing import Literal

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QGuiApplication

from app.look import typography

Appearance = Literal["system", "light", "dark"]
CHOICES: tuple[Appearance, ...] = ("system", "light", "dark")


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours by their use. Every text colour keeps 4.5:1 on `window`, `surface` and `raised`.

    Where a token comes from is told in the hues of Okabe and Ito's palette, which colour-blind people tell apart too:
    bluish green for what was accepted, orange for a correction, reddish purple for a bonus, blue for the n-gram's,
    vermilion for what was rejected. Only their lightness is ours, as the palette's own are too pale for text.
    """

    name: Literal["light", "dark"]
    window: str
    sidebar: str
    surface: str
    raised: str
    hover: str
    border: str
    text: str
    muted: str
    accent: str
    accent_hover: str
    on_accent: str
    selection: str
    danger: str
    notice: str
    notice_border: str
    accepted: str
    accepted_tint: str
    correction: str
    correction_tint: str
    bonus: str
    bonus_tint: str
    ngram: str
    plain: str
    ghost: str
    code_comment: str
    code_keyword: str
    code_name: str
    code_string: str
    code_number: str


LIGHT = Palette(
    name="light",
    window="#FAFAF8",
    sidebar="#F3F3F0",
    surface="#FFFFFF",
    raised="#F1F1EE",
    hover="#E8E8E4",
    border="#E2E2DD",
    text="#1B1D1F",
    muted="#5C6066",
    accent="#00735A",
    accent_hover="#005C48",
    on_accent="#FFFFFF",
    selection="#CDEBE1",
    danger="#B42318",
    notice="#FDF6EA",
    notice_border="#EAD9B5",
    accepted="#00735A",
    accepted_tint="#E2F4ED",
    correction="#855C00",
    correction_tint="#FBF0D6",
    bonus="#A03A73",
    bonus_tint="#FAEAF3",
    ngram="#006AA6",
    plain="#5C6066",
    ghost="#A84A00",
    code_comment="#5F6670",
    code_keyword="#6733C2",
    code_name="#0F5DA8",
    code_string="#0B6E66",
    code_number="#9A4A06",
)

DARK = Palette(
    name="dark",
    window="#141517",
    sidebar="#191B1E",
    surface="#1A1C1F",
    raised="#232529",
    hover="#2C2F34",
    border="#303338",
    text="#ECEDEE",
    muted="#A0A6AD",
    accent="#2CC79B",
    accent_hover="#4FDCB3",
    on_accent="#04231A",
    selection="#17453A",
    danger="#FF8A80",
    notice="#2A2418",
    notice_border="#4D4026",
    accepted="#2CC79B",
    accepted_tint="#12362C",
    correction="#E69F00",
    correction_tint="#33280F",
    bonus="#E3A0C6",
    bonus_tint="#361F2E",
    ngram="#56B4E9",
    plain="#A0A6AD",
    ghost="#FF9145",
    code_comment="#989FA8",
    code_keyword="#BBA2FF",
    code_name="#7FB8F5",
    code_string="#5FD3C1",
    code_number="#F2AA4C",
)


LIGHT_HIGH = replace(
    LIGHT, window="#FFFFFF", sidebar="#FFFFFF", raised="#F2F2F2", border="#5C6066", text="#000000", muted="#33363A",
    accent="#00503D", accent_hover="#003B2D", accepted="#00503D", correction="#5C3F00", bonus="#74234F",
    ngram="#004B78", plain="#33363A", ghost="#6F3000", danger="#8E1A10", notice="#FFF8E6", notice_border="#5C3F00",
    code_comment="#33363A", code_keyword="#4A1FA0", code_name="#0A4480", code_string="#004F48", code_number="#6B3100",
)  # fmt: skip
DARK_HIGH = replace(
    DARK, window="#000000", sidebar="#000000", surface="#000000", raised="#1A1A1A", border="#A0A6AD", text="#FFFFFF",
    muted="#D5D9DE", accent="#63EBC6", accent_hover="#8CF5D9", accepted="#63EBC6", correction="#FFC650",
    bonus="#F2BBDA", ngram="#9CD8FF", plain="#D5D9DE", ghost="#FFB685", danger="#FFB4AD", notice="#1F1A0E",
    notice_border="#FFC650", selection="#12302C", code_comment="#D5D9DE", code_keyword="#D5C5FF", code_name="#A9D2FF",
    code_string="#6FEBD9", code_number="#FFC778",
)  # fmt: skip
SPACES = (4, 8, 12, 16, 24)  # margins and gaps, in logical pixels


def palette_of(name: Literal["light", "dark"], *, is_high: bool) -> Palette:
    """The palette of that name, with more contrast where that is wanted."""
    if name == "dark":
        return DARK_HIGH if is_high else DARK
    return LIGHT_HIGH if is_high else LIGHT


def contrast(first: str, second: str) -> float:
    """The contrast ratio of WCAG 2.2 between two `#rrggbb` colours, 1 to 21."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class Theme(QObject):
    """Follows the system's light or dark, unless one was chosen. Also how large the text is, and how strong.

    Signals:
        changed: the Palette from now on; all text is to be written anew.
    """

    changed = Signal(object)

    def __init__(
        self, choice: Appearance = "system", parent: QObject | None = None, *, is_high: bool = False, scale: float = 1.0
    ) -> None:
        super().__init__(parent)
        self.choice: Appearance = "system"
        self.is_high = is_high
        self.palette = palette_of("light", is_high=is_high)
        typography.set_scale(scale)
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._follow)
        self.choose(choice)

    @property
    def scale(self) -> float:
        """How much larger than usual all text is."""
        return typography.scale()

    def choose(self, choice: Appearance) -> None:
        """Use light or dark, or follow the system."""
        self.choice = choice
        scheme = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}.get(choice, Qt.ColorScheme.Unknown)
        # The system's own parts, title bar and dialogs, follow too; Qt can do this since 6.8.
        QGuiApplication.styleHints().setColorScheme(scheme)
        self._follow()

    def set_high(self, is_high: bool) -> None:
        """Use stronger colours, or the usual ones."""
        self.is_high = is_high
        self._follow()

    def set_scale(self, factor: float) -> None:
        """Make all text so much larger than usual."""
        if factor != typography.scale():
            typography.set_scale(factor)
            self.changed.emit(self.palette)

    def _follow(self) -> None:
        is_dark = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
        name = "dark" if self.choice == "dark" or (self.choice == "system" and is_dark) else "light"
        palette = palette_of(name, is_high=self.is_high)
        if palette is not self.palette:
            self.palette = palette
            self.changed.emit(palette)
