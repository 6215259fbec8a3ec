"""What the engine does for everybody at this moment, with the names that this program has for its own requests."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from app.engine.pages.batch.client import BatchClient
from app.engine.pages.batch.records import Batch, OwnRequest, RunningRequest, WaitingRequest


@dataclass(frozen=True, slots=True)
class Named:
    """A request, and what it is called; `own` is None where somebody else asked, who alone can stop it."""

    request: RunningRequest | WaitingRequest
    title: str
    own: OwnRequest | None = None


class RequestsViewModel(QObject):
    """Asks the engine again and again while it is watched.

    Signals:
        changed: another step, or another engine.
    """

    changed = Signal()

    def __init__(
        self, client: BatchClient, own: Callable[[], Iterable[OwnRequest]], parent: QObject | None = None
    ) -> None:
        """`own` gives the requests of this program that are under way."""
        super().__init__(parent)
        self.batch: Batch | None = None
        self.is_unknown = False
        """Whether the engine tells nothing of what it does."""
        self._client, self._own = client, own
        self.running: list[Named] = []
        self.waiting: list[Named] = []
        client.told.connect(self._on_told)

    @property
    def is_idle(self) -> bool:
        """Whether nobody is answered and nobody waits."""
        return not self.running and not self.waiting

    def watch(self, is_watched: bool) -> None:
        """Somebody looks, or nobody does any more."""
        self._client.watch(is_watched)

    def forget(self) -> None:
        """Another engine answers from now on, or none."""
        self.is_unknown = False
        self.show(None, ())

    def stop(self, request_id: str) -> None:
        """Stop a request of this program; the others are left alone."""
        for named in (*self.running, *self.waiting):
            if named.request.id == request_id and named.own is not None:
                named.own.stop()
                self._client.fetch()

    def show(self, batch: Batch | None, own: Iterable[OwnRequest]) -> None:
        """Take a step; None where the engine has told of none. `own` are the requests that this program can stop."""
        self.batch, mine = batch, list(own)
        self.running = [_name(one, mine) for one in batch.running] if batch is not None else []
        self.waiting = [_name(one, mine) for one in batch.waiting] if batch is not None else []
        self.changed.emit()

    def _on_told(self, batch: Batch | None) -> None:
        self.is_unknown = batch is None
        self.show(batch, self._own())


def _name(request: RunningRequest | WaitingRequest, own: list[OwnRequest]) -> Named:
    mine = next((one for one in own if one.is_of(request)), None)
    return Named(request, (mine.title if mine is not None else "") or request.id, mine)
