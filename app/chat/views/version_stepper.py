"""Steps through the alternatives of a question or an answer."""

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from app.look import icons
from app.look.theme import Palette
from app.store import Answer, Question, Versions

SIDE_PX = 22


class VersionStepper(QWidget):
    """‹ 2 / 3 ›, hidden where there is one version only.

    Signals:
        stepped: -1 or 1.
    """

    stepped = Signal(int)

    def __init__(self, of_what: str, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._of_what = of_what
        self.before, self.after = QPushButton(), QPushButton()
        self._place = QLabel()
        self._place.setProperty("role", "muted")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for widget in (self.before, self._place, self.after):
            layout.addWidget(widget)
        for button, name, by in (
            (self.before, self.tr("Earlier {0}"), -1),
            (self.after, self.tr("Later {0}"), 1),
        ):
            button.setAccessibleName(name.format(of_what))
            button.setToolTip(name.format(of_what))
            button.setFixedSize(SIDE_PX, SIDE_PX)
            button.setIconSize(QSize(13, 13))
            button.setProperty("role", "tiny")
            button.clicked.connect(lambda _=False, by=by: self.stepped.emit(by))
        self.apply_palette(palette)
        self.hide()

    def show_versions(self, versions: Versions[Question] | Versions[Answer], *, is_enabled: bool = True) -> None:
        """Tell which of how many shows."""
        num, index = len(versions.all), versions.index
        self.setVisible(num > 1)
        self._place.setText(f"{index + 1} / {num}")
        told = self.tr("{0} {1} of {2}")
        self._place.setAccessibleName(told.format(self._of_what, index + 1, num))
        self.before.setEnabled(is_enabled and index > 0)
        self.after.setEnabled(is_enabled and index < num - 1)

    def apply_palette(self, palette: Palette) -> None:
        """Draw the arrows in the palette's colours."""
        self.before.setIcon(icons.icon("left", palette.muted, palette.border))
        self.after.setIcon(icons.icon("right", palette.muted, palette.border))
