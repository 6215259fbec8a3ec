"""What links the page of requests with the engine, and with what this program has asked."""

from collections.abc import Callable, Iterable

from PySide6.QtCore import QObject

from app.engine.pages.batch.client import BatchClient
from app.engine.pages.batch.records import OwnRequest
from app.engine.process import EngineProcess, EngineState
from app.speculation import RequestsViewModel
from app.speculation.views import RequestsPage
from app.window.frame import MainWindow


class RequestsController(QObject):
    """Belongs to a window; `own` gives the requests of all windows, as they share the engine."""

    def __init__(self, window: MainWindow, engine: EngineProcess, own: Callable[[], Iterable[OwnRequest]]) -> None:
        super().__init__(window)
        self._client = BatchClient(self)
        self.requests = RequestsViewModel(self._client, own, self)
        self.page = RequestsPage(self.requests, window.theme.palette)
        window.panel.add_page(self.tr("Requests"), self.page)
        engine.connect_client(self._client)
        engine.state_changed.connect(self._on_engine_state)

    def _on_engine_state(self, state: EngineState) -> None:
        if state is not EngineState.READY:
            self.requests.forget()
