"""The window: it puts the views together and connects them to the view models."""

from collections.abc import Sequence
from itertools import pairwise

from PySide6.QtCore import QSize
from PySide6.QtGui import QAction, QCloseEvent, QGuiApplication, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QMainWindow, QMessageBox, QStackedWidget, QVBoxLayout, QWidget

from app import icons
from app.conversation import Settings, Turn
from app.engine_process import EngineProcess
from app.example_prompts import ExamplePrompt
from app.stylesheet import build_stylesheet
from app.theme import Choice, Palette, Theme
from app.typography import body_font
from app.viewmodels.chat import ChatViewModel
from app.viewmodels.trace import TraceViewModel
from app.views.banner import Banner
from app.views.chat_view import COLUMN_PX, SCROLL_BAR_PX, ChatView
from app.views.composer import Composer
from app.views.footer import Footer
from app.views.menus import Menus
from app.views.settings_bar import SettingsBar
from app.views.trace_panel import TracePanel
from app.views.welcome import Welcome
from app.window_memory import WindowMemory

NARROW_PX = 860  # below this the panel would squeeze the text


class MainWindow(QMainWindow):
    """The one window of the application. Closing it ends the engine."""

    def __init__(
        self,
        engine: EngineProcess,
        chat: ChatViewModel,
        trace: TraceViewModel,
        examples: Sequence[ExamplePrompt],
        theme: Theme,
        memory: WindowMemory,
    ) -> None:
        super().__init__()
        self.setWindowTitle("Lookahead")
        self.setMinimumSize(QSize(520, 420))
        self.engine, self.chat, self._theme, self._memory = engine, chat, theme, memory
        palette = theme.palette
        self.bar = SettingsBar(palette)
        self.banner = Banner(palette)
        self.welcome = Welcome(examples, palette)
        self.chat_view = ChatView(palette)
        self.composer = Composer(palette)
        self.panel = TracePanel(trace, palette)
        self.footer = Footer(trace, palette)
        self._pages = QStackedWidget()
        self._build()
        self._build_menus()
        self._connect()
        self._wear(palette)
        self.resize(1120, 780)
        if (geometry := memory.geometry) is not None:
            self.restoreGeometry(geometry)
        self.bar.panel.setChecked(memory.shows_panel)
        self._show_panel()
        self._show_state()
        self.composer.field.setFocus()

    def ask(self, text: str) -> None:
        """Ask, and empty the composer when that worked."""
        if self.chat.send(text):
            self.composer.set_text("")
        else:
            self.composer.set_text(text)
        self.composer.field.setFocus()

    def toggle_tokens(self) -> None:
        """Switch the newest answer between its text and its tokens."""
        if self.chat_view.answers:
            switch = self.chat_view.answers[-1].switch
            switch.choose(1 - switch.index)

    def _build(self) -> None:
        self._pages.addWidget(self.welcome)
        self._pages.addWidget(self.chat_view)
        left = QWidget(objectName="page")
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(_centred(self.banner, (24, 12, 24, 0)))
        column.addWidget(self._pages, 1)
        column.addLayout(_centred(self.composer, (24, 6, 24, 16)))
        middle = QHBoxLayout()
        middle.setSpacing(0)
        middle.addWidget(left, 1)
        middle.addWidget(self.panel)
        page = QWidget(objectName="page")
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.bar)
        layout.addLayout(middle, 1)
        layout.addWidget(self.footer)
        self.setCentralWidget(page)

    def _build_menus(self) -> None:
        self.menus = Menus(self)
        self.menus.build_chat(self.chat.start_over, self.chat.stop, self.chat.ask_again, self.chat.restart_engine)
        self.menus.build_copying(self._copy_answer, self._copy_conversation)
        panel = QAction("Show Lookahead Panel", self, checkable=True, shortcut=QKeySequence("Ctrl+Shift+L"))
        panel.toggled.connect(self.bar.panel.setChecked)
        self.bar.panel.toggled.connect(panel.setChecked)
        self.menus.build_view(self.toggle_tokens, panel, self.choose_appearance, self._theme.choice)
        self.menus.build_help(self._show_about)

    def _connect(self) -> None:
        chat = self.chat
        chat.turn_added.connect(self._on_turn_added)
        chat.turn_removed.connect(self.chat_view.remove_turn)
        chat.cleared.connect(self._on_cleared)
        chat.answer_grew.connect(self.chat_view.grew)
        chat.answer_closed.connect(self.chat_view.closed)
        chat.prefill_shown.connect(self.chat_view.show_prefill)
        chat.problem_raised.connect(self.banner.show_problem)
        chat.problem_solved.connect(self.banner.clear)
        chat.state_changed.connect(self._show_state)
        chat.answer_closed.connect(self._order_tabs)
        self.bar.new_chosen.connect(chat.start_over)
        self.bar.settings_changed.connect(self._on_settings)
        self.bar.panel_toggled.connect(self._show_panel)
        self.banner.remedy_chosen.connect(self._on_remedy)
        self.welcome.example_chosen.connect(self._on_example)
        self.chat_view.seed_chosen.connect(self.bar.use_seed)
        self.chat_view.again_chosen.connect(chat.ask_again)
        self.chat_view.round_hovered.connect(self.panel.mark_round)
        self.composer.submitted.connect(self.ask)
        self.composer.stop_chosen.connect(chat.stop)
        self.composer.text_changed.connect(self._show_state)
        self.composer.problem_raised.connect(self.banner.show_problem)
        self._theme.changed.connect(self._wear)

    def _on_turn_added(self, turn: Turn) -> None:
        self.chat_view.add_turn(turn, self.chat.model)
        self._pages.setCurrentWidget(self.chat_view)

    def _on_cleared(self) -> None:
        self.chat_view.clear()
        self._pages.setCurrentWidget(self.welcome)
        self.composer.field.setFocus()

    def _on_example(self, example: ExamplePrompt) -> None:
        if example.temperature is not None:
            self.bar.temperature.setValue(example.temperature)
        self.ask(example.text)

    def _on_settings(self, settings: Settings) -> None:
        self.chat.settings = settings

    def _on_remedy(self, remedy: str) -> None:
        if remedy == "restart":
            self.chat.restart_engine()
        elif remedy == "retry":
            self.chat.ask_again()

    def _show_state(self) -> None:
        chat = self.chat
        self.composer.set_state(can_send=chat.can_send(self.composer.text), is_busy=chat.is_busy)
        self.footer.show_engine(self.engine.state, self.engine.message, chat.model, is_answering=chat.is_busy)
        has_turns = bool(chat.conversation.turns)
        self.menus.stop.setEnabled(chat.is_busy)
        self.menus.again.setEnabled(has_turns and not chat.is_busy)
        for action in (self.menus.copy_answer, self.menus.copy_conversation, self.menus.tokens):
            action.setEnabled(has_turns)

    def _order_tabs(self) -> None:
        """What an answer brought comes after what stands above it, and before the composer."""
        chain = [self.bar.panel, *self.chat_view.focus_chain, self.composer.field, self.composer.button]
        for first, second in pairwise(chain):
            QWidget.setTabOrder(first, second)

    def _show_panel(self) -> None:
        is_narrow = self.width() < NARROW_PX
        self.panel.setVisible(self.bar.panel.isChecked() and not is_narrow)
        self.bar.set_narrow(is_narrow)
        self.footer.set_narrow(is_narrow)
        self._show_state()

    def _copy_answer(self) -> None:
        QGuiApplication.clipboard().setText(self.chat.conversation.turns[-1].answer.text)

    def _copy_conversation(self) -> None:
        QGuiApplication.clipboard().setText(self.chat.conversation.to_markdown())

    def choose_appearance(self, choice: Choice) -> None:
        """Wear light or dark, or follow the system, now and from now on."""
        self._memory.appearance = choice
        self._theme.choose(choice)

    def _wear(self, palette: Palette) -> None:
        app = QApplication.instance()
        app.setFont(body_font())
        app.setStyleSheet(build_stylesheet(palette))
        self.setWindowIcon(icons.icon("mark", palette.accent))
        for view in (self.bar, self.banner, self.welcome, self.chat_view, self.composer, self.panel, self.footer):
            view.wear(palette)

    def _show_about(self) -> None:
        about = "Speculative decoding you can see: the same words, sooner.\n\nEverything stays on this computer."
        QMessageBox.about(self, "About Lookahead", about)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The panel gives way in a narrow window."""
        super().resizeEvent(event)
        self._show_panel()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the window, and leave no engine behind."""
        self._memory.geometry = self.saveGeometry()
        self._memory.shows_panel = self.bar.panel.isChecked()
        self.chat.stop()
        self.engine.stop()
        super().closeEvent(event)


def _centred(widget: QWidget, margins: tuple[int, int, int, int]) -> QHBoxLayout:
    """A row that keeps `widget` in the column of the conversation."""
    row = QHBoxLayout()
    left, top, right, bottom = margins
    row.setContentsMargins(left, top, right + SCROLL_BAR_PX, bottom)
    widget.setMaximumWidth(COLUMN_PX - 48)
    row.addWidget(widget)
    return row
