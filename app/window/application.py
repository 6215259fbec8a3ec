"""The application object: it hears of files that are opened from outside."""

from pathlib import Path

from PySide6.QtCore import QEvent, Signal
from PySide6.QtGui import QFileOpenEvent
from PySide6.QtWidgets import QApplication


class Application(QApplication):
    """A QApplication that passes on what the Dock and the Finder open.

    An event filter would do the same, but Python would then see every event of every widget.

    Signals:
        file_opened: the Path of a file.
    """

    file_opened = Signal(object)

    def event(self, event: QEvent) -> bool:
        """macOS asks to open a file."""
        if isinstance(event, QFileOpenEvent) and event.file():
            self.file_opened.emit(Path(event.file()))
            return True
        return super().event(event)
