"""What the underlines and colours of the tokens mean."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QWidget

from app.look.theme import Palette
from app.look.typography import SMALL_PX, body_font, scaled
from app.look.widgets.flow_text import FlowText
from app.tokens.style import (
    GHOST_NAME,
    PROBABILITY_BANDS,
    TOKEN_STYLES,
    Colouring,
    ghost_format,
    probability_format,
    token_format,
    told,
)


class TokenLegend(FlowText):
    """One line, or as many as the width asks for, drawn with the formats that the tokens have."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(self.tr("Legend of the tokens"))
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.document().setDefaultFont(body_font(SMALL_PX))
        self._palette = palette
        self.show_as("kind", has_ghosts=True)

    def show_as(self, colouring: Colouring, *, has_ghosts: bool) -> None:
        """Explain this way of colouring."""
        self.clear()
        bare = QTextCharFormat()
        bare.setFont(body_font(SMALL_PX))
        cursor = QTextCursor(self.document())
        if colouring == "kind":
            for kind, style in TOKEN_STYLES.items():
                self._insert(cursor, told(style.name), token_format(kind, self._palette), bare)
            meanings = [f"{told(style.name)}: {told(style.meaning)}" for style in TOKEN_STYLES.values()]
        else:
            for least, name, _ in PROBABILITY_BANDS:
                self._insert(cursor, told(name), probability_format(least, self._palette), bare)
            meanings = [self.tr("How probable the target found each token")]
        if has_ghosts:
            self._insert(cursor, told(GHOST_NAME), ghost_format(self._palette), bare)
            meanings.append(self.tr("{0}: drafted, and the target disagreed").format(told(GHOST_NAME)))
        self.setToolTip("\n".join(meanings))

    def _insert(self, cursor: QTextCursor, name: str, fmt: QTextCharFormat, bare: QTextCharFormat) -> None:
        fmt.setProperty(QTextCharFormat.Property.FontPixelSize, scaled(SMALL_PX))
        if not self.document().isEmpty():
            cursor.insertText("    ", bare)
        cursor.insertText(name.replace(" ", "\u00a0"), fmt)
