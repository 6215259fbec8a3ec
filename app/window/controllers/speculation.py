"""What links the panel with the rest of a window: the tokens, the engine, the race, and files."""

from pathlib import Path

from PySide6.QtCore import QT_TRANSLATE_NOOP, QObject
from PySide6.QtWidgets import QFileDialog

from app.chat import SteeringViewModel
from app.engine.client import EngineClient
from app.engine.problem import Problem
from app.engine.process import EngineProcess, EngineState
from app.engine.protocol import Round
from app.engine.request import build_request
from app.engine.speculation_client import SpeculationClient
from app.speculation import RaceViewModel, TraceViewModel, rounds_to_csv, rounds_to_json
from app.speculation.views import RaceWindow, save_picture
from app.store import Answer, messages_before
from app.tokens import TokensView
from app.window.frame import MainWindow

FILTERS = QT_TRANSLATE_NOOP(
    "SpeculationController", "Rounds as JSON (*.json);;Rounds as CSV (*.csv);;Plot as PNG (*.png);;Plot as SVG (*.svg)"
)
NEAR_PX = 60  # what is revealed is not put at the very edge


class SpeculationController(QObject):
    """Belongs to one window. `race_window` is the dialog of the last race, None before the first."""

    def __init__(self, window: MainWindow, engine: EngineProcess, client: EngineClient, trace: TraceViewModel) -> None:
        super().__init__(window)
        self._window, self._engine, self._trace = window, engine, trace
        self.api = SpeculationClient(self)
        self.steering = SteeringViewModel(window.chat, self.api)
        self.steering.setParent(self)
        self._race_client = EngineClient(self)
        self.race = RaceViewModel(self._race_client, self)
        self.race_window: RaceWindow | None = None
        self._connect_engine()
        self._connect_controls(client)
        self._connect_tokens()

    def start_race(self) -> None:
        """Race the question that the panel shows the answer of."""
        chat = self._window.chat
        turns = chat.conversation.turns
        if not turns or not chat.is_ready:
            return
        turn = next((one for one in turns if one.answer is self._trace.answer), turns[-1])
        key = chat.chat.cache_key if chat.chat is not None else None
        body = build_request(messages_before(turns, turn), chat.model, chat.settings, turn.answer.seed, key)
        if self.race_window is None:
            self.race_window = RaceWindow(self.race, self._window.theme.palette, self._window)
        self.race_window.apply_palette(self._window.theme.palette)
        self.race.start(body)
        self.race_window.show()

    def ask_where_to_export(self) -> None:
        """Let the user choose a file and a format."""
        path, chosen = QFileDialog.getSaveFileName(
            self._window, self.tr("Export the rounds or the plot"), "rounds.json", self.tr(FILTERS)
        )
        if path:
            suffix = chosen.rpartition("*")[2].rstrip(")")
            self.export(Path(path) if Path(path).suffix else Path(path + suffix))

    def export(self, path: Path) -> bool:
        """Write the shown answer's rounds (`.json`, `.csv`) or the plot (`.png`, `.svg`); a failure is told."""
        rounds, final = self._trace.rounds, self._trace.final
        try:
            match path.suffix.lower():
                case ".csv":
                    path.write_text(rounds_to_csv(rounds), encoding="utf-8")
                case ".json":
                    path.write_text(rounds_to_json(rounds, final), encoding="utf-8")
                case ".png" | ".svg":
                    if not save_picture(path, self._window.panel.rounds.charts, self._window.theme.palette):
                        raise OSError(f"{path.parent} cannot be written to")
                case suffix:
                    raise OSError(f"{suffix or 'no suffix'} is none of .json, .csv, .png and .svg")
        except OSError as error:
            title = self.tr("{0} could not be written.").format(path.name)
            self._window.banner.show_problem(Problem(title, self.tr("Choose another place or name."), str(error)))
            return False
        return True

    def _connect_engine(self) -> None:
        for client in (self.api, self._race_client):
            self._engine.connect_client(client)
        self._engine.state_changed.connect(self._on_engine_state)
        self.api.machine_told.connect(self._window.panel.show_machine)
        self._on_engine_state(self._engine.state)  # this window may have come later than the engine

    def _connect_controls(self, client: EngineClient) -> None:
        window, panel = self._window, self._window.panel
        panel.steered.connect(self.steering.change)
        client.drafters_told.connect(panel.controls.show_drafters)
        self.steering.told.connect(panel.controls.tell)
        self.steering.settings_changed.connect(window.bar.show_settings)
        window.bar.settings_changed.connect(panel.controls.show_settings)
        window.chat.chat_opened.connect(lambda: panel.controls.show_settings(window.chat.settings))
        window.chat.state_changed.connect(self._show_readiness)
        panel.race_chosen.connect(self.start_race)
        panel.export_chosen.connect(self.ask_where_to_export)
        self._show_readiness()

    def _connect_tokens(self) -> None:
        self._window.chat_view.round_hovered.connect(self._on_hovered)
        self._trace.pointed.connect(self._on_pointed)
        self._trace.chosen.connect(self._on_chosen)
        self._trace.updated.connect(self._on_updated)

    def _on_engine_state(self, state: EngineState) -> None:
        if state is EngineState.READY:
            self.api.fetch_machine()

    def _show_readiness(self) -> None:
        chat = self._window.chat
        self._window.panel.speed.race.setEnabled(chat.is_ready and not chat.conversation.is_empty)

    def _on_hovered(self, answer: Answer, one: Round | None) -> None:
        if answer is self._trace.answer:
            self._trace.point(None if one is None else one.index)

    def _on_pointed(self, index: int | None) -> None:
        if (tokens := self._tokens()) is not None:
            tokens.mark(index)

    def _on_chosen(self, index: int) -> None:
        """A round of the panel was clicked on: show its tokens, switching to them where the text shows."""
        for view in self._window.chat_view.answers:
            if view.answer is self._trace.answer:
                view.switch.choose(1)
                if view.tokens is not None and (place := view.tokens.place_of(index)) is not None:
                    view.tokens.mark(index)
                    spot = view.tokens.mapTo(self._window.chat_view.widget(), place.center())
                    self._window.chat_view.ensureVisible(spot.x(), spot.y(), 0, NEAR_PX)

    def _on_updated(self) -> None:
        if (tokens := self._tokens()) is not None:
            tokens.set_playhead(self._trace.playhead)

    def _tokens(self) -> TokensView | None:
        """The tokens of the answer that the panel shows, where they show."""
        views = (view for view in self._window.chat_view.answers if view.answer is self._trace.answer)
        return next((view.tokens for view in views), None)
