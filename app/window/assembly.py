"""Puts a window, its view models and its engine together."""

from app.engine.process import EngineProcess
from app.store import Store
from app.store.memory import WindowMemory
from app.window.frame import MainWindow
from app.window.workspace import Workspace


def build_window(
    engine: EngineProcess | None = None, memory: WindowMemory | None = None, store: Store | None = None
) -> MainWindow:
    """The whole application with one window, its engine not yet started. The window owns the rest."""
    workspace = Workspace(engine, memory, store)
    window = workspace.new_window()
    workspace.setParent(window)
    return window
