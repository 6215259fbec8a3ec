"""The end of a window whose test is over."""

from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication

from app.window.frame import MainWindow


def close_for_good(window: MainWindow) -> None:
    """Close it and leave nothing to the next test: what still is there is styled again with every window built."""
    window.close()
    window.engine.stop()
    window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.instance().setStyleSheet("")
