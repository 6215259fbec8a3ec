"""Where the first page meets the rest of a window: when it shows, and what its buttons do."""

from PySide6.QtCore import QObject

from app.engine.client import EngineClient
from app.engine.model_records import Suggestion
from app.engine.process import EngineProcess, EngineState
from app.first_run import AdviceViewModel, MinuteBench
from app.first_run.views import FirstPage
from app.models import Choice, Entry, ModelsViewModel
from app.speculation import RaceViewModel
from app.window.frame import MainWindow


class FirstRunController(QObject):
    """Belongs to one window. Until somebody has begun to chat, an empty chat shows the first page."""

    def __init__(self, window: MainWindow, engine: EngineProcess, models: ModelsViewModel) -> None:
        super().__init__(window)
        self._window, self._engine, self._models = window, engine, models
        client = EngineClient(self)
        engine.connect_client(client)
        self.race = RaceViewModel(client, self)
        self.bench = MinuteBench(self.race, parent=self)
        self.advice = AdviceViewModel(models.client, self)
        self.page: FirstPage | None = None
        menus = window.menus
        menus.add(menus.help, ("first-steps", self.tr("First Steps"), None, self.show))
        window.state_shown.connect(self._show_state)
        window.chat.turn_added.connect(self._on_turn_added)
        window.theme.changed.connect(lambda palette: self.page and self.page.apply_palette(palette))
        engine.state_changed.connect(self._on_engine_state)
        self.bench.changed.connect(self._on_bench)
        window.closing.connect(self.bench.stop)
        if not window.memory.has_begun and not window.chats.groups():
            self._show_page()

    def show(self) -> None:
        """Open the first page, in an empty chat."""
        if self._window.chat.conversation.turns:
            self._window.chat.start_over()
        self._show_page()

    def _show_page(self) -> None:
        if self.page is None:
            self.page = FirstPage(self.advice, self.bench, self._window.theme.palette)
            self.page.start_chosen.connect(self._begin)
            self.page.pair_chosen.connect(self._on_pair)
            self.page.measure_chosen.connect(self._measure)
            self._window.upkeep.add_consent(self.page)
        self._window.set_first_page(self.page)
        self._show_state()
        if self._engine.state is EngineState.READY:
            self.advice.ask()

    def _begin(self) -> None:
        """From now on an empty chat shows the examples."""
        self._window.memory.has_begun = True
        self._window.set_first_page(None)
        self._window.composer.field.setFocus()

    def _on_turn_added(self) -> None:
        if self._window.first_page is not None:
            self._begin()

    def _on_pair(self, suggestion: Suggestion) -> None:
        pair = suggestion.pair
        self._window.models.show()
        self._models.choose(Entry(pair.name, choice=Choice(pair.target, pair.draft, pair.name), pair=pair))

    def _measure(self) -> None:
        if self.bench.is_running:
            self.bench.stop()
        elif self._window.chat.is_ready and not self._window.chat.is_any_busy:
            self.bench.start(self._window.chat.model)

    def _on_bench(self) -> None:
        minute = self.bench.minute
        if minute is not None and minute.is_steady and minute.ratio is not None and self._engine.remote is None:
            self._window.models.loaded.remember_race(minute.ratio)

    def _on_engine_state(self, state: EngineState) -> None:
        if state is not EngineState.READY:
            self.bench.stop()
        elif self.page is not None:
            self.advice.ask()

    def _show_state(self) -> None:
        if self.page is not None:
            self.page.show_engine(self._engine.state, self._engine.message, self._window.chat.model)
