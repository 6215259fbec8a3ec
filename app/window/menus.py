"""The menu bar, with the shortcuts and roles that each system expects. The command list shows the same actions."""

from collections.abc import Callable, Iterator

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QApplication, QMainWindow, QMenu, QWidget

from app.look.theme import CHOICES, Appearance

translate = QCoreApplication.translate

Slot = Callable[[], object]
Shortcut = QKeySequence.StandardKey | str | None
MenuEntry = tuple[str, str, Shortcut, Slot] | None


class Menus:
    """The menus of a window. Entries have a key, by which `action` finds them."""

    def __init__(self, window: QMainWindow) -> None:
        self._window = window
        self._actions: dict[str, QAction] = {}
        bar = window.menuBar()
        self.file = bar.addMenu(translate("Menus", "&File"))
        self.edit = bar.addMenu(translate("Menus", "&Edit"))
        self.view = bar.addMenu(translate("Menus", "&View"))
        self.chat = bar.addMenu(translate("Menus", "&Chat"))
        self.help = bar.addMenu(translate("Menus", "&Help"))

    def add(self, menu: QMenu, *entries: MenuEntry) -> None:
        """Add entries of (key, text, shortcut, slot); None draws a line."""
        for entry in entries:
            if entry is None:
                menu.addSeparator()
                continue
            key, text, shortcut, slot = entry
            action = QAction(text, self._window)
            action.setMenuRole(QAction.MenuRole.NoRole)
            if shortcut is not None:
                action.setShortcut(QKeySequence(shortcut))
            action.triggered.connect(lambda _=False, slot=slot: slot())
            self._actions[key] = action
            menu.addAction(action)

    def action(self, key: str) -> QAction:
        """The entry of that key."""
        return self._actions[key]

    def set_role(self, key: str, role: QAction.MenuRole) -> None:
        """Where macOS puts it."""
        self._actions[key].setMenuRole(role)

    def set_enabled(self, is_enabled: bool, *keys: str) -> None:
        """Whether entries can be chosen now."""
        for key in keys:
            self._actions[key].setEnabled(is_enabled)

    def add_checkable(self, menu: QMenu, key: str, text: str, shortcut: Shortcut) -> QAction:
        """Add an entry that is on or off."""
        self.add(menu, (key, text, shortcut, lambda: None))
        self._actions[key].setCheckable(True)
        return self._actions[key]

    def add_appearance(self, choose: Callable[[Appearance], object], chosen: Appearance) -> None:
        """The submenu of light and dark."""
        names = {
            "system": translate("Menus", "System"),
            "light": translate("Menus", "Light"),
            "dark": translate("Menus", "Dark"),
        }
        menu = self.view.addMenu(translate("Menus", "Appearance"))
        group = QActionGroup(menu)
        for choice in CHOICES:
            self.add(menu, (f"appearance-{choice}", names[choice], None, lambda choice=choice: choose(choice)))
            action = self._actions[f"appearance-{choice}"]
            action.setCheckable(True)
            action.setChecked(choice == chosen)
            group.addAction(action)

    def add_editing(self) -> None:
        """Undo to Select All where the focus is; the fields' own shortcuts do the same."""
        keys = QKeySequence.StandardKey
        for text, key, slot in (
            (translate("Menus", "Undo"), keys.Undo, "undo"),
            (translate("Menus", "Redo"), keys.Redo, "redo"),
            ("", None, ""),
            (translate("Menus", "Cut"), keys.Cut, "cut"),
            (translate("Menus", "Copy"), keys.Copy, "copy"),
            (translate("Menus", "Paste"), keys.Paste, "paste"),
            (translate("Menus", "Select All"), keys.SelectAll, "selectAll"),
        ):
            entry = (f"edit-{slot}", text, key, lambda slot=slot: _call_focused(slot)) if slot else None
            self.add(self.edit, entry)

    def commands(self) -> Iterator[tuple[str, QAction]]:
        """Every entry that can be chosen now, with the name of its menu."""
        for top in self._window.menuBar().actions():
            menu = top.menu()
            pending = list(menu.actions()) if isinstance(menu, QMenu) else []
            while pending:
                action = pending.pop(0)
                if isinstance(inner := action.menu(), QMenu):
                    pending = [*inner.actions(), *pending]
                elif action.text() and action.isEnabled() and not action.isSeparator():
                    yield top.text().replace("&", ""), action


def _call_focused(slot: str) -> None:
    focused: QWidget | None = QApplication.focusWidget()
    if callable(method := getattr(focused, slot, None)):
        method()
