"""Several windows share an engine, the chats and the looks, and the last one to close ends them."""

from pytestqt.qtbot import QtBot

from app.engine.process import EngineState
from app.window.frame import MainWindow
from app.window.workspace import Workspace
from tests.app.window.test_frame import ask


def second_of(window: MainWindow, qtbot: QtBot) -> MainWindow:
    """A second window, opened by its menu entry and ready to be asked."""
    window.menus.action("new-window").trigger()
    second = window.findChild(Workspace).windows[-1]
    assert second is not window
    qtbot.waitUntil(lambda: second.chat.is_ready, timeout=10_000)
    return second


def test_two_windows_share_an_engine_and_the_chats(window: MainWindow, qtbot: QtBot) -> None:
    ask(window, qtbot, "from the first")
    second = second_of(window, qtbot)
    process = window.engine.address
    assert second.engine is window.engine
    ask(second, qtbot, "from the second")
    assert window.sidebar.titles() == ["Today", "from the second", "from the first"]
    assert [turn.question for turn in window.chat.conversation.turns] == ["from the first"]
    second.close()
    assert window.engine.state is EngineState.READY, "the first window still needs it"
    ask(window, qtbot, "and on")
    assert window.engine.address is process, "nor was it started anew"


def test_both_answer_at_once(window: MainWindow, qtbot: QtBot) -> None:
    second = second_of(window, qtbot)
    window.ask("slow")
    second.ask("slow")
    assert window.chat.is_busy
    assert second.chat.is_busy
    second.chat.stop()
    qtbot.waitUntil(lambda: not window.chat.is_busy, timeout=30_000)
    whole, stopped = (one.chat.conversation.turns[-1].answer for one in (window, second))
    assert whole.finished is not None
    assert whole.finished.finish_reason == "stop"
    assert stopped.finished is None


def test_both_wear_the_same(window: MainWindow, qtbot: QtBot) -> None:
    second = second_of(window, qtbot)
    second.choose_appearance("dark")
    assert window.theme.palette.name == "dark"
    width = window.sidebar.width()
    second.theme.set_scale(1.5)
    assert window.sidebar.width() == second.sidebar.width() > width
    second.theme.set_scale(1.0)
