"""What all windows share: one engine, one store of chats, one theme. The last window to close ends them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QObject, Qt, QTimer
from PySide6.QtWidgets import QApplication

from app.chat import ChatActivity, ChatListViewModel, ChatViewModel
from app.engine.client import EngineClient
from app.engine.models_client import ModelsClient
from app.engine.network import EngineAddress
from app.engine.pages.batch.records import OwnRequest
from app.engine.pages.group.client import GroupClient
from app.engine.prefixes_client import PrefixesClient
from app.engine.problem import Problem
from app.engine.process import EngineProcess, EngineState
from app.engine.remote import read_token
from app.look.resources import resources_folder
from app.look.theme import Theme
from app.machines import MachinesViewModel
from app.models import LoadedModels, ModelsViewModel
from app.prompts import prompts_folder, read_examples
from app.speculation import TraceViewModel
from app.store import Store, StoreError
from app.upkeep import ReportFolder, UpdatesViewModel, program_version, read_source
from app.window.application import Application
from app.window.commands import WindowCommands
from app.window.controllers.first_run import FirstRunController
from app.window.controllers.machines import MachinesController
from app.window.controllers.models import ModelsController
from app.window.controllers.prompts import PromptsController
from app.window.controllers.requests import RequestsController
from app.window.controllers.speculation import SpeculationController
from app.window.controllers.upkeep import UpkeepController
from app.window.frame import MainWindow
from app.window.links import LinkError, asked_text
from app.window.logs import log_file
from app.window.memory import WindowMemory, engine_options

GATHER_MS = 60


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """The chats, and what has to be told about how they were opened."""

    store: Store
    problems: tuple[Problem, ...] = field(default=())


def open_store(open_kept: Callable[[], Store] = Store.default) -> OpenedStore:
    """The user's chats; where they cannot be opened, a store in memory and the Problem why."""
    try:
        store = open_kept()
    except StoreError as error:
        advice = QCoreApplication.translate("Workspace", "Until then nothing of this window's chats is kept.")
        return OpenedStore(Store(None), (Problem(str(error), advice, error.details),))
    if store.damaged is None:
        return OpenedStore(store)
    saved = QCoreApplication.translate("Workspace", "{0:,} messages could be read and are here again.").format(
        store.num_saved
    )
    details = QCoreApplication.translate("Workspace", "The damaged file was moved to {0}").format(store.damaged)
    return OpenedStore(
        store,
        (Problem(QCoreApplication.translate("Workspace", "The file of your chats was damaged."), saved, details),),
    )


class Workspace(QObject):
    """Opens windows and ends what they share when the last one closes."""

    def __init__(
        self, engine: EngineProcess | None = None, memory: WindowMemory | None = None, store: Store | None = None
    ) -> None:
        super().__init__()
        self.memory = memory or WindowMemory()
        self.engine = engine or EngineProcess()
        self.engine.setParent(self)
        self.engine.options = engine_options(self.memory)
        if url := self.memory.remote_url:
            self.engine.remote = EngineAddress(url, read_token(url))
        self.models = ModelsViewModel(ModelsClient(self), self)
        self.loaded = LoadedModels(self.engine, self.memory, self.models.client, self)
        self.engine.connect_client(self.models.client)
        group = GroupClient(self)
        self.machines = MachinesViewModel(self.memory, group, self)
        self.machines.asked.connect(self._on_asked)
        self.machines.used.connect(self._on_used)
        self.engine.connect_client(group)
        opened = OpenedStore(store) if store is not None else open_store()
        self.store, self._problems = opened.store, opened.problems
        self.chats = ChatListViewModel(self.store, self)
        self.activity = ChatActivity(self)
        self.prefixes = PrefixesClient(self)
        self.engine.connect_client(self.prefixes)
        self.engine.state_changed.connect(self._on_engine_state)
        self.chats.gone.connect(self.prefixes.forget)
        self.prefixes.forget(chat.cache_key for chat in self.store.purged)
        self.theme = Theme(
            self.memory.appearance, self, is_high=self.memory.high_contrast, scale=self.memory.font_scale
        )
        self.reports = ReportFolder(log_file().parent / "reports", log_file())
        for failure in (self.engine.crashed, self.engine.gave_up):
            failure.connect(self._on_engine_failure)
        self.updates = UpdatesViewModel(self.memory, read_source(resources_folder()), program_version(), parent=self)
        self.windows: list[MainWindow] = []
        self._opened: list[Path] = []
        if isinstance(app := QApplication.instance(), Application):
            app.file_opened.connect(self.open_path)
            app.link_opened.connect(self.open_link)

    def new_window(self) -> MainWindow:
        """Open another window with an empty chat."""
        client, trace = EngineClient(), TraceViewModel()
        chat = ChatViewModel(self.engine, client, trace, self.store, self.activity)
        examples = read_examples(prompts_folder())
        window = MainWindow(self.engine, chat, self.chats, trace, examples, self.theme, self.memory)
        for part in (client, trace, chat):
            part.setParent(window)
        window.commands = WindowCommands(window, self._show_new_window)
        window.speculation = SpeculationController(window, self.engine, client, trace)
        window.prompts = PromptsController(window, self.engine, chat)
        window.requests = RequestsController(window, self.engine, self._own_requests)
        window.models = ModelsController(window, self.engine, self.models, self.loaded)
        window.machines = MachinesController(window, self.engine, self.machines)
        window.upkeep = UpkeepController(window, self.updates, self.reports)
        window.first_run = FirstRunController(window, self.engine, self.models)
        window.closing.connect(lambda: self._on_closing(window))
        for problem in self._problems:
            window.banner.show_problem(problem)
        self._problems = ()
        self.windows.append(window)
        chat.follow_engine()
        return window

    def open_path(self, path: Path) -> None:
        """Take a file that was opened from outside, in the window that is in front.

        The Dock tells of several files one by one; those that come together are taken together.
        """
        self._opened.append(path)
        QTimer.singleShot(GATHER_MS, self, self._take_opened)

    def open_link(self, link: str) -> None:
        """Follow a `lookahead://` link in the window that is in front; what it may not do is told there."""
        if not self.windows:
            return
        window = self._front()
        try:
            text, composer = asked_text(link), window.composer
            composer.field.history.remember(composer.text)  # the up key brings back what was being written
            composer.set_text(text)
        except LinkError as error:
            window.banner.show_problem(Problem(self.tr("The link was not followed."), str(error)))

    def tell_version(self, own: str, other: str) -> None:
        """Another version was started beside this one, and ended again: one program holds the chats."""
        title = self.tr("Lookahead {0} was started while {1} is open.").format(other or "?", own)
        self.tell(Problem(title, self.tr("Quit this one first to use the other.")))

    def reopen_chat(self) -> None:
        """Open the chat that was open last in the first window."""
        if self.windows and (chat_id := self.memory.open_chat) is not None:
            self.windows[0].chat.open_chat(chat_id)

    def raise_window(self) -> None:
        """Bring the newest window to the front."""
        window = self.windows[-1]
        window.setWindowState(window.windowState() & ~Qt.WindowState.WindowMinimized)
        window.show()
        window.raise_()
        window.activateWindow()

    def watch(self) -> None:
        """What only a program that a person started does: leave reports of its end, and look for newer versions."""
        ended = self.reports.watch_for_the_end()
        if ended is not None:
            title = self.tr("Lookahead ended unexpectedly the last time.")
            advice = self.tr("What you wrote is kept. The report is yours to read: nothing is sent by itself.")
            self.tell(Problem(title, advice, str(ended), "report"))
        self.updates.begin()
        self.machines.begin()

    def tell(self, problem: Problem) -> None:
        """Show a problem in the newest window."""
        if self.windows:
            self.windows[-1].banner.show_problem(problem)

    def open_files(self, paths: Sequence[Path]) -> None:
        """Open files as if the Dock had opened them."""
        app = QApplication.instance()
        for path in paths if isinstance(app, Application) else ():
            app.file_opened.emit(path)

    def on_launched(self, paths: Sequence[Path]) -> None:
        """Lookahead was started once more: this one comes to the front and takes the files."""
        self.raise_window()
        self.open_files(paths)

    def close(self) -> None:
        """Close every window."""
        for window in list(self.windows):
            window.close()

    def _own_requests(self) -> Iterator[OwnRequest]:
        """The requests of all windows that are under way."""
        for window in self.windows:
            for asker in (window.chat.sessions, window.prompts.queue, window.speculation.race, window.first_run.race):
                yield from asker.own_requests()

    def _on_engine_failure(self, problem: Problem) -> None:
        """A remote engine that is out of reach is no fault of the program."""
        if self.engine.remote is None:
            self.reports.write(problem.title, f"{problem.advice}\n{problem.details}")

    def _on_engine_state(self, state: EngineState) -> None:
        if state is EngineState.READY:
            self.prefixes.send()
        elif state is EngineState.STOPPED:
            self.machines.forget_group()

    def _on_used(self, sentence: str) -> None:
        self.tell(Problem(sentence, self.tr("It needs memory and time here. Settings, On several Macs, ends that.")))

    def _on_asked(self) -> None:
        """Another machine asks to use this one: whoever is here has to see the code, whatever he does."""
        if self.windows and self.machines.code is not None and self.machines.code.is_theirs:
            self._front().machines.show()

    def _take_opened(self) -> None:
        paths, self._opened = self._opened, []
        if paths and self.windows:
            self._front().prompts.attachments.add_paths(paths)

    def _front(self) -> MainWindow:
        return next((window for window in self.windows if window.isActiveWindow()), self.windows[-1])

    def _show_new_window(self) -> None:
        window = self.new_window()
        window.move(self.windows[-2].pos().x() + 32, self.windows[-2].pos().y() + 32)
        window.show()

    def _on_closing(self, window: MainWindow) -> None:
        if window not in self.windows:
            return
        self.windows.remove(window)
        self.memory.open_chat = window.chat.chat.id if window.chat.chat else None
        self.memory.font_scale = self.theme.scale
        if not self.windows:
            self.models.client.stop()
            self.machines.stop()
            self.engine.stop()
            self.store.close()


def build_window(
    engine: EngineProcess | None = None, memory: WindowMemory | None = None, store: Store | None = None
) -> MainWindow:
    """The whole application with one window, its engine not yet started. The window owns the rest."""
    workspace = Workspace(engine, memory, store)
    window = workspace.new_window()
    workspace.setParent(window)
    return window
