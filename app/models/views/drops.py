"""Takes models that are dropped anywhere on a window, before anybody takes them for text."""

from PySide6.QtCore import QEvent, QObject, Signal
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QWidget

from app.look.widgets.drop_target import local_paths
from app.models.importing import is_model_path


class ModelDrops(QObject):
    """Takes models that are dropped on widgets, and leaves all else to who takes it.

    Signals:
        dropped: the Paths, all of them models.
    """

    dropped = Signal(object)

    def watch(self, widget: QWidget) -> None:
        """Take models dropped there, before anybody else."""
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take models only."""
        if event.type() == QEvent.Type.Drop and isinstance(event, QDropEvent):
            paths = local_paths(event.mimeData())
            if paths and all(is_model_path(path) for path in paths):
                event.acceptProposedAction()
                self.dropped.emit(paths)
                return True
        return super().eventFilter(watched, event)
