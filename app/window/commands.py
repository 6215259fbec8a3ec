"""What the menus of a window do."""

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence
from PySide6.QtWidgets import QMessageBox

from app.chat.views import ChatFiles, ChatSettings
from app.look.typography import SCALES, scale
from app.window.command_list import CommandList
from app.window.frame import MainWindow
from app.window.preferences import Preferences

translate = QCoreApplication.translate

_NEEDS_TURNS = (
    "copy-answer",
    "copy-chat",
    "tokens",
    "find",
    "export",
    "print",
    "rename",
    "duplicate",
    "delete",
    "branch",
)


class WindowCommands:
    """Belongs to a window, and fills its menus; every entry is also in the command list."""

    def __init__(self, window: MainWindow, new_window: Callable[[], object]) -> None:
        self._window, self._chat, self._new_window = window, window.chat, new_window
        self.menus = window.menus
        self.files = ChatFiles(window.chat, window.chats, window.banner.show_problem, window)
        self._fill_file()
        self._fill_edit()
        self._fill_view()
        self._fill_chat()
        self._fill_help()
        window.bar.details_chosen.connect(self.edit_chat_settings)
        window.sidebar.export_chosen.connect(self.files.export)
        window.state_shown.connect(self.show_state)
        self.show_state()

    def show_state(self) -> None:
        """Enable what can be done now."""
        chat = self._chat
        turns = chat.conversation.turns
        self.menus.set_enabled(bool(turns), *_NEEDS_TURNS)
        self.menus.set_enabled(chat.is_busy, "stop", "stop-too")
        self.menus.set_enabled(bool(turns) and chat.is_ready, "again", "edit-question")
        self.menus.set_enabled(bool(turns) and chat.is_ready and turns[-1].answer.can_continue, "continue")
        self.menus.set_enabled(self._window.chats.can_undo, "undo-delete")

    def edit_chat_settings(self) -> None:
        """Show the system prompt and the sampling of this chat."""
        dialog = ChatSettings(self._chat.settings, self._chat.store.presets, self._window.theme.palette, self._window)
        if dialog.exec():
            self._chat.settings = dialog.settings
            self._window.bar.show_settings(dialog.settings)

    def _fill_file(self) -> None:
        window, keys = self._window, QKeySequence.StandardKey
        self.menus.add(
            self.menus.file,
            ("new", translate("Menus", "New Chat"), keys.New, self._chat.start_over),
            ("new-window", translate("Menus", "New Window"), "Ctrl+Shift+N", self._new_window),
            None,
            ("import", translate("Menus", "Import Chats…"), None, self.files.load),
            ("export", translate("Menus", "Export Chat…"), "Ctrl+Shift+S", lambda: self.files.export(self._open_ids())),
            ("export-all", translate("Menus", "Export All Chats…"), None, lambda: self.files.export(())),
            ("print", translate("Menus", "Print…"), keys.Print, self.files.print),
            None,
            ("preferences", translate("Menus", "Settings…"), "Ctrl+,", self.show_preferences),
            ("close", translate("Menus", "Close Window"), "Ctrl+W", window.close),
            ("quit", translate("Menus", "Quit Lookahead"), "Ctrl+Q", self._quit),
        )
        self.menus.set_role("preferences", QAction.MenuRole.PreferencesRole)
        self.menus.set_role("quit", QAction.MenuRole.QuitRole)

    def _fill_edit(self) -> None:
        self.menus.add_editing()
        self.menus.add(
            self.menus.edit,
            None,
            ("copy-answer", translate("Menus", "Copy Answer"), "Ctrl+Shift+C", self._copy_answer),
            ("copy-chat", translate("Menus", "Copy Conversation"), "Ctrl+Alt+C", self._copy_chat),
            None,
            (
                "find",
                translate("Menus", "Find in Chat…"),
                QKeySequence.StandardKey.Find,
                lambda: self._window.find_bar.begin(),
            ),
            ("search", translate("Menus", "Search All Chats"), "Ctrl+Shift+F", self._search_all),
            ("commands", translate("Menus", "Commands…"), "Ctrl+K", self.show_commands),
        )

    def _fill_view(self) -> None:
        window, bar = self._window, self._window.bar
        for key, text, shortcut, button in (
            ("sidebar", translate("Menus", "Show Chats"), "Ctrl+1", bar.sidebar),
            ("panel", translate("Menus", "Show Lookahead Panel"), "Ctrl+3", bar.panel),
        ):
            action = self.menus.add_checkable(self.menus.view, key, text, shortcut)
            action.setChecked(button.isChecked())
            action.toggled.connect(button.setChecked)
            button.toggled.connect(action.setChecked)
            if key == "sidebar":
                entry = ("tokens", translate("Menus", "Answer or Tokens"), "Ctrl+2", window.toggle_tokens)
                self.menus.add(self.menus.view, entry)
        self.menus.add(
            self.menus.view,
            None,
            ("larger", translate("Menus", "Larger Text"), QKeySequence.StandardKey.ZoomIn, lambda: self._step_font(1)),
            (
                "smaller",
                translate("Menus", "Smaller Text"),
                QKeySequence.StandardKey.ZoomOut,
                lambda: self._step_font(-1),
            ),
            ("usual", translate("Menus", "Usual Text Size"), "Ctrl+0", lambda: window.theme.set_scale(1.0)),
            None,
        )
        self.menus.add_appearance(window.choose_appearance, window.theme.choice)

    def _fill_chat(self) -> None:
        window, chat = self._window, self._chat
        self.menus.add(
            self.menus.chat,
            ("stop", translate("Menus", "Stop"), "Esc", chat.stop),
            ("stop-too", translate("Menus", "Stop Now"), "Ctrl+.", chat.stop),
            ("again", translate("Menus", "Ask Again"), "Ctrl+R", chat.ask_again),
            ("continue", translate("Menus", "Continue Answer"), "Ctrl+Shift+R", chat.continue_answer),
            ("edit-question", translate("Menus", "Edit Last Question"), "Ctrl+E", self._edit_last),
            ("branch", translate("Menus", "Branch From Here"), None, lambda: chat.branch(chat.conversation.turns[-1])),
            None,
            (
                "chat-settings",
                translate("Menus", "System Prompt and Sampling…"),
                "Ctrl+Shift+P",
                self.edit_chat_settings,
            ),
            ("rename", translate("Menus", "Rename Chat"), None, self._rename),
            ("duplicate", translate("Menus", "Duplicate Chat"), None, self._duplicate),
            (
                "delete",
                translate("Menus", "Delete Chat"),
                "Ctrl+Backspace",
                lambda: window.chats.delete(self._open_ids()),
            ),
            ("undo-delete", translate("Menus", "Undo Delete Chat"), "Ctrl+Alt+Z", window.chats.undo_delete),
            None,
            ("restart", translate("Menus", "Start the Engine Again"), None, chat.restart_engine),
        )

    def _fill_help(self) -> None:
        self.menus.add(self.menus.help, ("about", translate("Menus", "About Lookahead"), None, self._show_about))
        self.menus.set_role("about", QAction.MenuRole.AboutRole)

    def show_commands(self) -> None:
        """Offer every entry that can be chosen now."""
        CommandList(self.menus.commands(), self._window.theme.palette, self._window).show()

    def show_preferences(self) -> None:
        """Show the settings of the application."""
        window = self._window
        Preferences(
            window.theme,
            window.memory,
            window.engine,
            window.models.loaded,
            window,
            updates=window.upkeep.updates,
            machines=window.machines.machines,
        ).exec()

    def _quit(self) -> None:
        for window in QGuiApplication.topLevelWindows():
            window.close()

    def _open_ids(self) -> tuple[int, ...]:
        chat = self._chat.chat
        return (chat.id,) if chat else ()

    def _copy_answer(self) -> None:
        QGuiApplication.clipboard().setText(self._chat.conversation.turns[-1].answer.text)

    def _copy_chat(self) -> None:
        QGuiApplication.clipboard().setText(self._chat.conversation.to_markdown())

    def _search_all(self) -> None:
        self._window.bar.sidebar.setChecked(True)
        self._window.sidebar.search.setFocus()
        self._window.sidebar.search.selectAll()

    def _step_font(self, by: int) -> None:
        nearest = min(range(len(SCALES)), key=lambda index: abs(SCALES[index] - scale()))
        self._window.theme.set_scale(SCALES[max(0, min(len(SCALES) - 1, nearest + by))])

    def _edit_last(self) -> None:
        if questions := self._window.chat_view.questions:
            questions[-1].begin_edit()

    def _rename(self) -> None:
        self._window.bar.sidebar.setChecked(True)
        self._window.sidebar.rename_selected()

    def _duplicate(self) -> None:
        for chat_id in self._open_ids():
            if (copied := self._window.chats.duplicate(chat_id)) is not None:
                self._chat.open_chat(copied.id)

    def _show_about(self) -> None:
        about = translate("Menus", "Speculative decoding you can see: the same words, sooner.")
        kept = translate("Menus", "Everything stays on this computer.")
        QMessageBox.about(self._window, translate("Menus", "About Lookahead"), f"{about}\n\n{kept}")
