"""The engine as a chat asks it: what it serves, and what became of it."""

from PySide6.QtCore import QObject, Signal

from app.engine.client import EngineClient
from app.engine.problem import Problem
from app.engine.process import EngineProcess, EngineState


class ServedModel(QObject):
    """Follows one engine.

    Signals:
        changed: the engine's state, or its model.
        lost: a Problem: the engine is gone, and with it every answer under way.
        recovered: the Problem that it was lost by; it is back.
        refused: a Problem: it does not tell its model.
    """

    changed = Signal()
    lost = Signal(object)
    recovered = Signal(object)
    refused = Signal(object)

    def __init__(self, engine: EngineProcess, client: EngineClient, parent: QObject) -> None:
        super().__init__(parent)
        self.name = ""
        self._lost: Problem | None = None
        self._engine, self._client = engine, client
        client.model_named.connect(self._on_model)
        client.refused.connect(self.refused)
        engine.address_changed.connect(client.set_address)
        engine.state_changed.connect(self._on_state)
        engine.crashed.connect(self._on_lost)
        engine.gave_up.connect(self._on_lost)

    @property
    def is_ready(self) -> bool:
        """Whether it can be asked."""
        return self._engine.state is EngineState.READY and bool(self.name)

    def follow(self) -> None:
        """Take over how the engine is: it may have started before."""
        if self._engine.address is not None:
            self._client.set_address(self._engine.address)
        self._on_state(self._engine.state)

    def restart(self) -> None:
        """Start the engine again, ending it first where it still runs."""
        self._engine.stop()
        self._engine.start()

    def _on_model(self, name: str) -> None:
        self.name = name
        self.changed.emit()

    def _on_state(self, state: EngineState) -> None:
        if state is EngineState.READY:
            self._client.fetch_model()
            lost, self._lost = self._lost, None
            if lost is not None:
                self.recovered.emit(lost)
        self.changed.emit()

    def _on_lost(self, problem: Problem) -> None:
        self._lost = problem
        self.lost.emit(problem)
