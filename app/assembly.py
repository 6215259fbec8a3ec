"""Puts the window, its view models and its engine together."""

from app.engine_client import EngineClient
from app.engine_process import EngineProcess
from app.example_prompts import prompts_folder, read_examples
from app.theme import Theme
from app.viewmodels.chat import ChatViewModel
from app.viewmodels.trace import TraceViewModel
from app.views.main_window import MainWindow
from app.window_memory import WindowMemory


def build_window(engine: EngineProcess | None = None, memory: WindowMemory | None = None) -> MainWindow:
    """The whole application, its engine not yet started. The window owns the rest."""
    engine = engine or EngineProcess()
    memory = memory or WindowMemory()
    client, trace = EngineClient(), TraceViewModel()
    chat = ChatViewModel(engine, client, trace)
    theme = Theme(memory.appearance)
    window = MainWindow(engine, chat, trace, read_examples(prompts_folder()), theme, memory)
    for part in (engine, client, trace, chat, theme):
        part.setParent(window)
    return window
