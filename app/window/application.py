"""The application object: it hears of files that are opened from outside."""

from pathlib import Path

from PySide6.QtCore import QEvent, QUrl, Signal
from PySide6.QtGui import QFileOpenEvent
from PySide6.QtWidgets import QApplication

from app.window.links import is_link


class Application(QApplication):
    """A QApplication that passes on what the Dock and the Finder open.

    An event filter would do the same, but Python would then see every event of every widget.

    Signals:
        file_opened: the Path of a file.
        link_opened: a link of ours, as text.
    """

    file_opened = Signal(object)
    link_opened = Signal(str)

    def event(self, event: QEvent) -> bool:
        """macOS asks to open a file."""
        if isinstance(event, QFileOpenEvent) and is_link(event.url().toString()):
            self.link_opened.emit(event.url().toString(QUrl.ComponentFormattingOption.FullyEncoded))
            return True
        if isinstance(event, QFileOpenEvent) and event.file():
            self.file_opened.emit(Path(event.file()))
            return True
        return super().event(event)
