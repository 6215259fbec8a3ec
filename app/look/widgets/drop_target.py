"""Lets files be dropped anywhere on a window."""

from pathlib import Path

from PySide6.QtCore import QEvent, QMimeData, QObject, Signal
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QWidget


class DropTarget(QObject):
    """Watches the drag and drop events of one window; its children keep those that they take themselves.

    Signals:
        hovered: whether files are held over the window.
        dropped: the Paths.
    """

    hovered = Signal(bool)
    dropped = Signal(object)

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        window.setAcceptDrops(True)
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take files, and nothing else."""
        kinds = QEvent.Type
        if event.type() == kinds.DragLeave:
            self.hovered.emit(False)
        elif event.type() in (kinds.DragEnter, kinds.DragMove, kinds.Drop) and isinstance(event, QDropEvent):
            if not (paths := local_paths(event.mimeData())):
                return False
            event.acceptProposedAction()
            if event.type() == kinds.DragEnter:
                self.hovered.emit(True)
            elif event.type() == kinds.Drop:
                self.hovered.emit(False)
                self.dropped.emit(paths)
            return True
        return super().eventFilter(watched, event)


def local_paths(source: QMimeData) -> list[Path]:
    """The files that are dragged or pasted, each once."""
    return list(dict.fromkeys(Path(url.toLocalFile()) for url in source.urls() if url.isLocalFile()))
