"""A small switch between a few views."""

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QFrame, QHBoxLayout, QPushButton, QWidget


class Segmented(QFrame):
    """Exactly one of its buttons is down.

    Signals:
        chosen: the index of the button that is now down.
    """

    chosen = Signal(int)

    def __init__(self, names: Sequence[str], purpose: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segments")
        self.setAccessibleName(purpose)
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(2, 2, 2, 2)
        self._layout.setSpacing(2)
        self._group = QButtonGroup(self)
        for name in names:
            self.add(name)
        self._group.idToggled.connect(lambda index, is_down: self.chosen.emit(index) if is_down else None)

    def add(self, name: str) -> None:
        """Put a button behind the others. The first one is down."""
        others = self.buttons
        button = QPushButton(name, checkable=True, checked=not others)
        button.setAccessibleName(f"{self.accessibleName()}: {name}")
        self._group.addButton(button, len(others))
        self._layout.addWidget(button)
        if others:  # also where it comes later than the rest of the window
            self.setTabOrder(others[-1], button)
        button.show()  # at once, so that whoever holds the switch can ask how wide it has become
        self.updateGeometry()

    @property
    def index(self) -> int:
        """Which is down."""
        return self._group.checkedId()

    @property
    def buttons(self) -> list[QAbstractButton]:
        """Its buttons, in order."""
        return self._group.buttons()

    def choose(self, index: int) -> None:
        """Press a button."""
        self._group.button(index).setChecked(True)
