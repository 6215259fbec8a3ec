"""An answer as its tokens, with what its colours mean and how they are chosen."""

from PySide6.QtCore import QT_TRANSLATE_NOOP
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.look.theme import Palette
from app.look.widgets.segmented import Segmented
from app.look.widgets.tick_box import TickBox
from app.tokens.legend import TokenLegend
from app.tokens.style import Colouring
from app.tokens.view import TokensView

COLOURINGS: tuple[tuple[str, Colouring], ...] = (
    (QT_TRANSLATE_NOOP("TokensPage", "Kind"), "kind"),
    (QT_TRANSLATE_NOOP("TokensPage", "Probability"), "probability"),
)


class TokensPage(QWidget):
    """Legend, choices and tokens."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view = TokensView(palette)
        self.legend = TokenLegend(palette)
        self.colouring = Segmented([self.tr(name) for name, _ in COLOURINGS], self.tr("Colour tokens by"))
        self.ghosts = TickBox(self.tr("Rejected drafts"), palette)
        self.ghosts.setChecked(True)
        self.ghosts.setToolTip(self.tr("Show the drafts that the target rejected, where they stood"))
        choices = QHBoxLayout()
        choices.setSpacing(12)
        choices.addWidget(self.colouring)
        choices.addWidget(self.ghosts)
        choices.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(12)
        layout.addLayout(choices)
        layout.addWidget(self.legend)
        layout.addWidget(self.view)
        self.colouring.chosen.connect(self._apply)
        self.ghosts.toggled.connect(self._apply)

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches, in the order one reads."""
        return [*self.colouring.buttons, self.ghosts, self.view]

    def _apply(self) -> None:
        colouring = COLOURINGS[self.colouring.index][1]
        self.view.show_as(colouring, has_ghosts=self.ghosts.isChecked())
        self.legend.show_as(colouring, has_ghosts=self.ghosts.isChecked())
