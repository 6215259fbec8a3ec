"""Where models meet the rest of a window: the menu, drops, imports, and the engine that loads another pair."""

import re
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject

from app.engine.problem import Problem
from app.engine.process import EngineProcess, EngineState
from app.models import Choice, Entry, LoadedModels, ModelImport, ModelsViewModel, PairRace, is_model_path
from app.models.views import ModelDrops, ModelsWindow, installed_entry
from app.speculation import Verdict
from app.window.frame import MainWindow

_PERCENT = re.compile(r"(\d+)\s?%")


class ModelsController(QObject):
    """Belongs to a window; what it shows is shared by all. Its window is made when it is first wanted."""

    def __init__(
        self, window: MainWindow, engine: EngineProcess, models: ModelsViewModel, loaded: LoadedModels
    ) -> None:
        super().__init__(window)
        self._window, self._engine, self._models, self.loaded = window, engine, models, loaded
        self._models_window: ModelsWindow | None = None
        self.imports, self.races = ModelImport(parent=self), PairRace(parent=self)
        for process in (self.imports, self.races):
            window.closing.connect(process.stop)
        self._imported: Path | None = None
        self.drops = ModelDrops(self)
        for widget in (window, window.composer.field.viewport()):
            self.drops.watch(widget)
        self.drops.dropped.connect(self.take)
        self.imports.started.connect(lambda path: self._tell(self.tr("Importing {}…").format(path.name)))
        self.imports.finished.connect(self._on_imported)
        engine.state_changed.connect(self._show_loading)
        loaded.changed.connect(self._on_loaded)
        loaded.failed.connect(self._on_failed)
        models.chosen.connect(self._show_measured)
        models.stock_changed.connect(self._on_stock)
        window.speculation.race.decided.connect(self._on_race)
        self.races.finished.connect(self._on_tried)
        window.theme.changed.connect(lambda palette: self._models_window and self._models_window.apply_palette(palette))
        menus = window.menus
        menus.add(menus.file, None, ("models", self.tr("Models…"), "Ctrl+Shift+L", self.show))

    @property
    def models_window(self) -> ModelsWindow:
        """The models' window of this window."""
        if self._models_window is None:
            self._models_window = ModelsWindow(self._models, self._window.theme.palette, self._window)
            self._models_window.use_chosen.connect(self.use)
            self._models_window.try_chosen.connect(self.try_pair)
            self._models_window.import_chosen.connect(self.take)
            self._models_window.detail.show_loaded(self.loaded.choice)
            self._show_loading(self._engine.state, self._engine.message)
        return self._models_window

    def show(self) -> None:
        """Open the models' window, or bring it to the front."""
        self.models_window.show()
        self.models_window.raise_()
        self.models_window.activateWindow()

    def use(self, choice: Choice) -> None:
        """Load a choice: the engine starts again with it, the chats stay."""
        if self._engine.remote is not None:
            self._tell(self.tr("The engine runs on another computer: choose its models there."))
        elif self._window.chat.is_any_busy:
            self._tell(self.tr("An answer is under way: stop it, or wait for its end."))
        else:
            self._tell("")
            self.loaded.use(choice)

    def try_pair(self, choice: Choice) -> None:
        """Race a choice against plain decoding, beside what is loaded."""
        if self._engine.remote is not None:
            self._tell(self.tr("The engine runs on another computer: run `mlx-spec models try` there."))
        elif self._window.chat.is_any_busy:
            self._tell(self.tr("An answer is under way, and would slow the race: wait for its end."))
        elif self.races.choice is None:
            name = choice.pair or choice.target
            self._tell(self.tr("{} races for 20 seconds once it is loaded. Ask nothing meanwhile.").format(name))
            self.races.start(choice)
            self.models_window.detail.show_racing(True)

    def take(self, paths: Sequence[Path]) -> None:
        """Import models; what is none is named."""
        self.show()
        if self._engine.remote is not None:
            self._tell(self.tr("The engine runs on another computer: import the file there."))
            return
        wrong = [path.name for path in paths if not is_model_path(path)]
        if wrong:
            needed = self.tr("drop a .gguf file, or a folder with config.json and weights in safetensors.")
            self._tell(self.tr("{} is no model: {}").format(", ".join(wrong), needed))
        self.imports.add([path for path in paths if path.name not in wrong])

    def _on_imported(self, path: Path, is_good: bool, words: str) -> None:
        self._tell(words)
        if is_good:
            self._models.choose(Entry(path.name, choice=Choice(str(path))))
            self._imported = path if path.is_file() else None
        self._models.refresh_stock()

    def _on_stock(self) -> None:
        """What was imported is chosen as the model that it became: the file may go."""
        path, self._imported = self._imported, None
        models = [one for one in self._models.stock.models if path and one.name.startswith(path.stem)]
        if models:
            self._models.choose(installed_entry(max(models, key=lambda one: one.last_used_s)))

    def _on_loaded(self) -> None:
        if self._models_window is not None:
            self._models_window.detail.show_loaded(self.loaded.choice)

    def _on_failed(self, problem: Problem) -> None:
        self._tell(f"{problem.title} {problem.advice}")

    def _on_race(self, verdict: Verdict) -> None:
        if verdict.ratio is not None and self._engine.remote is None:
            self.loaded.remember_race(verdict.ratio)
            self._show_measured()

    def _on_tried(self, choice: Choice, ratio: float | None, words: str) -> None:
        self._tell(f"{choice.pair or choice.target}: {words}")
        if ratio is not None:
            self.loaded.remember_race(ratio, choice)
        if self._models_window is not None:
            self._models_window.detail.show_racing(False)
        self._show_measured()

    def _show_measured(self) -> None:
        if self._models_window is not None and self._models.choice is not None:
            self._models_window.detail.show_measured(self.loaded.measured(self._models.choice))

    def _show_loading(self, state: EngineState, message: str) -> None:
        if self._models_window is None:
            return
        is_loading = state in (EngineState.STARTING, EngineState.LOADING)
        percent = _PERCENT.search(message)
        name = self.loaded.choice.pair or self.loaded.choice.target
        words = f"{name}: {message}" if is_loading else ""
        self._models_window.show_loading(words, int(percent[1]) if percent else None)
        refusal = self._models.refusal
        was_gone = self._models_window.isVisible() and refusal is not None and refusal.kind == "gone"
        if was_gone and state in (EngineState.LOADING, EngineState.READY):  # from here on it answers about models
            self._models.open()

    def _tell(self, words: str) -> None:
        if self._models_window is not None:
            self._models_window.tell(words)
