"""Which models the engine loads, and how long: chosen by a person, remembered, and gone back from where that fails."""

import json
from datetime import date
from typing import Any, Protocol

from PySide6.QtCore import QObject, Signal

from app.engine.models_client import ModelsClient
from app.engine.network import EngineAddress
from app.engine.problem import Problem
from app.engine.process import EngineProcess, EngineState
from app.models.choice import BUILT_IN, Choice

STARTER = Choice("SmolLM2-135M-Instruct", "starter draft", BUILT_IN)


class Memory(Protocol):
    """What is remembered of models from one run to the next; where, is the window's to know."""

    models: str
    races: dict[str, Any]
    unload_after_min: int


class LoadedModels(QObject):
    """One for all windows.

    Signals:
        changed: another choice is loaded, or being loaded.
        failed: a Problem: the choice could not be loaded, and the one before it is loaded again.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(
        self, engine: EngineProcess, memory: Memory, client: ModelsClient, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._engine, self._memory, self._client = engine, memory, client
        self._knows: EngineAddress | None = None
        """The engine that was told how long to keep its models."""
        self.choice = _read(memory.models) or STARTER
        self._proven = STARTER
        """What was loaded last; the starter comes with Lookahead, and is the last resort."""
        self._tell_engine()
        engine.state_changed.connect(self._on_state)
        engine.gave_up.connect(self._on_gave_up)

    def use(self, choice: Choice) -> None:
        """Start the engine again with `choice`, now and from now on."""
        self._load(choice)

    @property
    def unload_after_min(self) -> int:
        """After how many minutes without a request the engine lets its models go; 0 for never."""
        return self._memory.unload_after_min

    def unload_after(self, minutes: int) -> None:
        """Have it do so now and from now on. An engine on another computer keeps its own ways."""
        self._memory.unload_after_min = minutes
        if self._engine.state is EngineState.READY and self._engine.remote is None:
            self._client.unload_after(60 * minutes)

    def remember_race(self, ratio: float, choice: Choice | None = None) -> None:
        """A race with `choice`, or what is loaded, ended with this many times plain decoding's speed."""
        races = self._memory.races
        races[" ".join((choice or self.choice).arguments)] = {"ratio": round(ratio, 2), "day": date.today().isoformat()}
        self._memory.races = races

    def measured(self, choice: Choice) -> str:
        """The last race with `choice` on this machine in words; empty where there was none."""
        race = self._memory.races.get(" ".join(choice.arguments))
        if not isinstance(race, dict) or not isinstance(race.get("ratio"), float):
            return ""
        words = self.tr("{:.2f}× plain decoding, in the last race on this machine ({})")
        return words.format(race["ratio"], race.get("day", ""))

    def _load(self, choice: Choice) -> None:
        self.choice = choice
        self._memory.models = json.dumps([choice.target, choice.draft, choice.pair])
        self._engine.stop()
        self._tell_engine()
        self._engine.start()
        self.changed.emit()

    def _tell_engine(self) -> None:
        # The engine's own choice without arguments is the starter: engines that know no models need none told.
        self._engine.models = () if self.choice.pair == BUILT_IN else self.choice.arguments

    def _on_state(self, state: EngineState) -> None:
        if state is EngineState.READY:
            self._proven = self.choice
            if self._knows != self._engine.address:
                self._knows = self._engine.address
                if self.unload_after_min:
                    self.unload_after(self.unload_after_min)

    def _on_gave_up(self, problem: Problem) -> None:
        if self._engine.remote is not None or self.choice == self._proven:
            return
        name, back = self.choice.pair or self.choice.target, self._proven.pair or self._proven.target
        self._load(self._proven)
        title = self.tr("{} could not be loaded; {} is used again.").format(name, back)
        self.failed.emit(Problem(title, problem.advice, problem.details))


def _read(kept: str) -> Choice | None:
    try:
        target, draft, pair = json.loads(kept)
    except (TypeError, ValueError):
        return None
    return Choice(str(target), str(draft), str(pair)) if target else None
