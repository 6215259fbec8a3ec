"""The menu bar, with the shortcuts and roles that each system expects."""

from collections.abc import Callable

from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QApplication, QMainWindow, QWidget

from app.theme import CHOICES, Choice

Slot = Callable[[], object]
Shortcut = QKeySequence.StandardKey | str | None


class Menus:
    """Builds the menus of a window; the actions that the window enables and disables are its attributes."""

    def __init__(self, window: QMainWindow) -> None:
        self._window = window
        bar = window.menuBar()
        self._file, self._edit = bar.addMenu("&File"), bar.addMenu("&Edit")
        self._view, self._chat, self._help = bar.addMenu("&View"), bar.addMenu("&Chat"), bar.addMenu("&Help")
        self._build_edit()
        quit_key, quit_role = QKeySequence.StandardKey.Quit, QAction.MenuRole.QuitRole
        self._file.addAction(self._action("Quit Lookahead", quit_key, window.close, quit_role))

    def build_chat(self, new: Slot, stop: Slot, again: Slot, restart: Slot) -> None:
        """What one does with a conversation."""
        self._file.insertAction(self._file.actions()[0], self._action("New Chat", QKeySequence.StandardKey.New, new))
        self.stop = self._action("Stop", "Esc", stop)
        self.again = self._action("Ask Again", "Ctrl+R", again)
        self._chat.addActions([self.stop, self.again])
        self._chat.addSeparator()
        self._chat.addAction(self._action("Start the Engine Again", None, restart))

    def build_copying(self, answer: Slot, conversation: Slot) -> None:
        """What can be copied as a whole."""
        self.copy_answer = self._action("Copy Answer", "Ctrl+Shift+C", answer)
        self.copy_conversation = self._action("Copy Conversation", "Ctrl+Alt+C", conversation)
        self._edit.addSeparator()
        self._edit.addActions([self.copy_answer, self.copy_conversation])

    def build_view(self, tokens: Slot, panel: QAction, choose: Callable[[Choice], object], chosen: Choice) -> None:
        """What shows, and in which colours."""
        self.tokens = self._action("Answer or Tokens", "Ctrl+T", tokens)
        self._view.addActions([self.tokens, panel])
        appearance = self._view.addMenu("Appearance")
        group = QActionGroup(appearance)
        for choice in CHOICES:
            action = self._action(choice.capitalize(), None, lambda choice=choice: choose(choice))
            action.setCheckable(True)
            action.setChecked(choice == chosen)
            group.addAction(action)
            appearance.addAction(action)

    def build_help(self, about: Slot) -> None:
        """What this is."""
        self._help.addAction(self._action("About Lookahead", None, about, QAction.MenuRole.AboutRole))

    def _build_edit(self) -> None:
        """Cut, copy and paste where the focus is; the fields' own shortcuts do the same."""
        for name, key, slot in (
            ("Cut", QKeySequence.StandardKey.Cut, "cut"),
            ("Copy", QKeySequence.StandardKey.Copy, "copy"),
            ("Paste", QKeySequence.StandardKey.Paste, "paste"),
            ("Select All", QKeySequence.StandardKey.SelectAll, "selectAll"),
        ):
            self._edit.addAction(self._action(name, key, lambda slot=slot: _call_focused(slot)))

    def _action(
        self, text: str, shortcut: Shortcut, slot: Slot, role: QAction.MenuRole = QAction.MenuRole.NoRole
    ) -> QAction:
        action = QAction(text, self._window)
        if shortcut is not None:
            action.setShortcut(QKeySequence(shortcut))
        action.setMenuRole(role)
        action.triggered.connect(lambda: slot())
        return action


def _call_focused(slot: str) -> None:
    focused: QWidget | None = QApplication.focusWidget()
    if callable(method := getattr(focused, slot, None)):
        method()
