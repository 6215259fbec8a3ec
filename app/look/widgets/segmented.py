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
        layout = QHBoxLayout(self)
        layout.setContentsMargins(2, 2, 2, 2)
        layout.setSpacing(2)
        self._group = QButtonGroup(self)
        for index, name in enumerate(names):
            button = QPushButton(name, checkable=True)
            button.setAccessibleName(f"{purpose}: {name}")
            self._group.addButton(button, index)
            layout.addWidget(button)
        self._group.button(0).setChecked(True)
        self._group.idToggled.connect(lambda index, is_down: self.chosen.emit(index) if is_down else None)

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
