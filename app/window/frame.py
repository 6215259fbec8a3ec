"""A window's frame: it puts the widgets of the rooms together and connects them to the view models."""

from collections.abc import Sequence
from itertools import pairwise

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QCloseEvent, QResizeEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from app.chat import ChatListViewModel, ChatViewModel
from app.chat.views import COLUMN_PX, SCROLL_BAR_PX, ChatView, FindBar, SettingsBar, Sidebar
from app.engine.process import EngineProcess
from app.engine.request import Settings
from app.look import icons
from app.look.stylesheet import build_stylesheet
from app.look.theme import Appearance, Palette, Theme
from app.look.typography import body_font, widened
from app.prompts import ExamplePrompt
from app.prompts.views import Composer, Welcome
from app.speculation import TraceViewModel
from app.speculation.views import TracePanel
from app.store import Answer, Turn
from app.window.banner import Banner
from app.window.footer import Footer
from app.window.memory import WindowMemory
from app.window.menus import Menus

COLUMN_LEAST_PX = 460  # what the conversation keeps beside the panel
SLIM_PX = 720  # in a window below this the list of chats would squeeze the text


class MainWindow(QMainWindow):
    """One window with one open chat. What its menus hold is brought by WindowCommands and by the desks.

    Signals:
        state_shown: what can be done now may be another.
        closing: sent when it is closed, after its answers were stopped.
    """

    state_shown = Signal()
    closing = Signal()

    def __init__(
        self,
        engine: EngineProcess,
        chat: ChatViewModel,
        chats: ChatListViewModel,
        trace: TraceViewModel,
        examples: Sequence[ExamplePrompt],
        theme: Theme,
        memory: WindowMemory,
    ) -> None:
        super().__init__()
        self.setWindowTitle("Lookahead")
        self.setMinimumSize(QSize(520, 420))
        self.engine, self.chat, self.chats, self.theme, self.memory = engine, chat, chats, theme, memory
        palette = theme.palette
        self.sidebar = Sidebar(chats, chat.activity, palette)
        self.bar = SettingsBar(palette)
        self.banner = Banner(palette)
        self.find_bar = FindBar(lambda: chat.conversation.turns, palette)
        self.welcome = Welcome(examples, palette)
        self.chat_view = ChatView(palette)
        self.composer = Composer(palette)
        self.panel = TracePanel(trace, palette)
        self.footer = Footer(trace, palette)
        self._pages = QStackedWidget()
        self.first_page: QWidget | None = None
        """What an empty chat shows in place of the examples."""
        self._build()
        self.menus = Menus(self)
        self._connect()
        self._apply_palette(palette)
        self.resize(1180, 780)
        if (geometry := memory.geometry) is not None:
            self.restoreGeometry(geometry)
        self.bar.panel.setChecked(memory.shows_panel)
        self.bar.sidebar.setChecked(memory.shows_sidebar)
        self._show_sides()
        self._show_state()
        self.composer.field.setFocus()

    def ask(self, text: str) -> None:
        """Ask, and empty the composer when that worked."""
        if self.chat.send(text, self.composer.parts):
            self.composer.clear()
        else:
            self.composer.set_text(text)
        self.composer.field.setFocus()

    def toggle_tokens(self) -> None:
        """Switch the newest answer between its text and its tokens."""
        if self.chat_view.answers:
            switch = self.chat_view.answers[-1].switch
            switch.choose(1 - switch.index)

    def set_first_page(self, page: QWidget | None) -> None:
        """Show `page` where nothing has been asked, None for the examples."""
        if self.first_page is not None:
            self._pages.removeWidget(self.first_page)
        self.first_page = page
        if page is not None:
            self._pages.addWidget(page)
        if not self.chat.conversation.turns:
            self._pages.setCurrentWidget(page or self.welcome)

    def add_notice(self, notice: QWidget) -> None:
        """Give a quiet line its place, below what went wrong and above the conversation."""
        self._column.insertLayout(1, _centred(notice, (24, 0, 24, 0)))

    def choose_appearance(self, choice: Appearance) -> None:
        """Show light or dark, or follow the system, now and from now on."""
        self.memory.appearance = choice
        self.theme.choose(choice)

    def _build(self) -> None:
        self._pages.addWidget(self.welcome)
        self._pages.addWidget(self.chat_view)
        left = QWidget(objectName="page")
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        # The space above these two is their own, in the style sheet: a layout keeps its margins for what is hidden.
        column.addLayout(_centred(self.banner, (24, 0, 24, 0)))
        column.addLayout(_centred(self.find_bar, (24, 0, 24, 0)))
        self._column = column
        column.addWidget(self._pages, 1)
        column.addLayout(_centred(self.composer, (24, 6, 24, 16)))
        middle = QHBoxLayout()
        middle.setSpacing(0)
        middle.addWidget(left, 1)
        middle.addWidget(self.panel)
        page = QVBoxLayout()
        page.setSpacing(0)
        page.addWidget(self.bar)
        page.addLayout(middle, 1)
        page.addWidget(self.footer)
        whole = QWidget(objectName="page")
        layout = QHBoxLayout(whole)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.sidebar)
        layout.addLayout(page, 1)
        self.setCentralWidget(whole)

    def _connect(self) -> None:
        self._connect_chat()
        self.bar.new_chosen.connect(self.chat.start_over)
        self.bar.settings_changed.connect(self._on_settings)
        self.bar.panel_toggled.connect(self._show_sides)
        self.bar.sidebar_toggled.connect(self._show_sides)
        self.sidebar.chat_chosen.connect(self.chat.open_chat)
        self.sidebar.new_chosen.connect(self.chat.start_over)
        self.chats.problem_raised.connect(self.banner.show_problem)
        self.chats.changed.connect(self._on_chats_changed)
        self.banner.remedy_chosen.connect(self._on_remedy)
        self.find_bar.turn_wanted.connect(self._on_turn_wanted)
        self.find_bar.closed.connect(lambda: self.find_bar.unmark(self.chat_view))
        self.welcome.example_chosen.connect(self._on_example)
        self.composer.submitted.connect(self.ask)
        self.composer.stop_chosen.connect(self.chat.stop)
        self.composer.text_changed.connect(self._show_state)
        self.composer.problem_raised.connect(self.banner.show_problem)
        self.theme.changed.connect(self._apply_palette)

    def _connect_chat(self) -> None:
        chat, view = self.chat, self.chat_view
        chat.turn_added.connect(self._on_turn_added)
        chat.path_changed.connect(self._on_path_changed)
        chat.cleared.connect(self._on_path_changed)
        chat.answer_reopened.connect(view.reopened)
        chat.answer_grew.connect(view.grew)
        chat.answer_closed.connect(view.closed)
        chat.answer_closed.connect(self._order_tabs)
        chat.prefill_shown.connect(view.show_prefill)
        chat.standing_shown.connect(view.show_standing)
        chat.problem_raised.connect(self.banner.show_problem)
        chat.problem_solved.connect(self.banner.clear)
        chat.state_changed.connect(self._show_state)
        chat.chat_opened.connect(self._on_chat_opened)
        chat.chats_changed.connect(self.chats.changed)
        view.seed_chosen.connect(self.bar.use_seed)
        view.rounds_wanted.connect(chat.load_rounds)
        view.rounds_chosen.connect(self._on_rounds_chosen)
        view.again_chosen.connect(chat.regenerate)
        view.continue_chosen.connect(lambda _: chat.continue_answer())
        view.branch_chosen.connect(chat.branch)
        view.edited.connect(chat.edit)
        view.stepped.connect(chat.show_version)

    def _on_turn_added(self, turn: Turn) -> None:
        self.chat_view.add_turn(turn)
        self._pages.setCurrentWidget(self.chat_view)

    def _on_path_changed(self) -> None:
        turns = self.chat.conversation.turns
        self.chat_view.show_path(turns)
        self._pages.setCurrentWidget(self.chat_view if turns else self.first_page or self.welcome)
        if not turns:
            self.composer.field.setFocus()

    def _on_chat_opened(self) -> None:
        self.bar.show_settings(self.chat.settings)
        self._on_chats_changed()

    def _on_chats_changed(self) -> None:
        """Another window may have deleted or renamed the chat that is open here."""
        self.chat.refresh()
        chat = self.chat.chat
        self.sidebar.mark_open(chat.id if chat else None)
        self.bar.show_title(self.chat.title)
        self.setWindowTitle(f"{self.chat.title} – Lookahead" if self.chat.title else "Lookahead")

    def _on_rounds_chosen(self, answer: Answer) -> None:
        if not self.chat.is_busy:
            self.chat.show_rounds(answer)

    def _on_turn_wanted(self, index: int) -> None:
        if (view := self.chat_view.reveal(index)) is not None:
            self.find_bar.mark(view, self.theme.palette)

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
        self.composer.set_state(can_send=chat.is_ready and self.composer.has_content, is_busy=chat.is_busy)
        self.footer.show_engine(self.engine.state, self.engine.message, chat.model, standing=chat.standing)
        self.chat_view.set_enabled_versions(chat.is_ready)
        self.state_shown.emit()

    def _order_tabs(self) -> None:
        """What an answer brought comes after what stands above it, and before the composer."""
        composer = (self.composer.field, self.composer.attach_button, self.composer.button)
        chain = [self.bar.panel, *self.chat_view.focus_chain, *composer]
        for first, second in pairwise(chain):
            QWidget.setTabOrder(first, second)

    def _show_sides(self) -> None:
        has_sidebar = self.bar.sidebar.isChecked() and self.width() >= widened(SLIM_PX)
        width = self.width() - (self.sidebar.width() if has_sidebar else 0)
        has_room = width >= widened(COLUMN_LEAST_PX) + self.panel.width()
        self.sidebar.setVisible(has_sidebar)
        self.panel.setVisible(self.bar.panel.isChecked() and has_room)
        self.bar.set_panel_possible(has_room)
        self._show_state()

    def _apply_palette(self, palette: Palette) -> None:
        app = QApplication.instance()
        # Either styles all windows again, and each of them would have it done when the theme changes.
        font, sheet = body_font(), build_stylesheet(palette)
        if app.font() != font:
            app.setFont(font)
        if app.styleSheet() != sheet:
            app.setStyleSheet(sheet)
        self.setWindowIcon(icons.icon("mark", palette.accent))
        views = (self.sidebar, self.bar, self.banner, self.find_bar, self.welcome, self.chat_view, self.composer)
        for view in (*views, self.panel, self.footer):
            view.apply_palette(palette)
        self._show_sides()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The panel gives way in a narrow window, and then the list of chats."""
        super().resizeEvent(event)
        self._show_sides()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the window, and let whoever opened it end what it no longer needs."""
        self.memory.geometry = self.saveGeometry()
        self.memory.shows_panel = self.bar.panel.isChecked()
        self.memory.shows_sidebar = self.bar.sidebar.isChecked()
        self.chat.sessions.stop()
        self.closing.emit()
        super().closeEvent(event)


def _centred(widget: QWidget, margins: tuple[int, int, int, int]) -> QHBoxLayout:
    """A row that keeps `widget` in the column of the conversation."""
    row = QHBoxLayout()
    left, top, right, bottom = margins
    row.setContentsMargins(left, top, right + SCROLL_BAR_PX, bottom)
    widget.setMaximumWidth(COLUMN_PX - 48)
    row.addWidget(widget)
    return row
