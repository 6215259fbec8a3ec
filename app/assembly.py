"""Puts a window, its view models and its engine together."""

from app.engine_process import EngineProcess
from app.store import Store
from app.views.main_window import MainWindow
from app.window_memory import WindowMemory
from app.workspace import Workspace


def build_window(
    engine: EngineProcess | None = None, memory: WindowMemory | None = None, store: Store | None = None
) -> MainWindow:
    """The whole application with one window, its engine not yet started. The window owns the rest."""
    workspace = Workspace(engine, memory, store)
    window = workspace.new_window()
    workspace.setParent(window)
    return window
