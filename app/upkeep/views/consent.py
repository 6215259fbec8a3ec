"""The box by which somebody agrees to have newer versions looked for."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from app.look.theme import Palette
from app.look.widgets.tick_box import TickBox
from app.upkeep.updates import UpdatesViewModel


class UpdateConsent(QWidget):
    """Acts at once. Where this copy has no feed it is greyed out, and says so."""

    def __init__(self, updates: UpdatesViewModel, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._updates = updates
        self.box = TickBox(self.tr("Look for newer versions, once a day"), palette)
        self.words = QLabel(wordWrap=True)
        self.words.setProperty("role", "muted")
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        told = self.tr("One small signed file is asked for, with nothing about you.")
        told += " " + self.tr("Nothing is fetched or installed unasked.")
        if updates.source is None:
            told = self.tr("This copy was built without a place to look for them.")
        self.words.setText(told)
        self.box.setAccessibleDescription(told)
        self.box.setEnabled(updates.source is not None)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.box)
        layout.addWidget(self.words)
        self._show(updates.agreed)
        self.box.toggled.connect(updates.agree)
        updates.agreement_changed.connect(self._show)

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self.box.apply_palette(palette)

    def _show(self, agreed: bool) -> None:
        self.box.setChecked(agreed and self._updates.source is not None)
