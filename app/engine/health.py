"""Asks the engine how it is until it is ready."""

import json
from dataclasses import dataclass

from PySide6.QtCore import QObject, QTimer, QUrl, Signal
from PySide6.QtNetwork import QNetworkReply, QNetworkRequest

from app.engine.network import EngineNetwork, body_of

POLL_MS = 200


@dataclass(frozen=True, slots=True)
class Health:
    """An answer of `GET /health`."""

    status: str
    message: str


class EngineHealth(QObject):
    """Polls `/health`; silent while nobody listens there yet, and after `ready` or `failed`.

    Signals:
        answered: a Health. Sent for every answer.
    """

    answered = Signal(object)

    def __init__(self, url: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._request = QNetworkRequest(QUrl(f"{url}/health"))
        self._request.setTransferTimeout(5_000)
        self._network = EngineNetwork(self)
        self._reply: QNetworkReply | None = None
        self._timer = QTimer(self, interval=POLL_MS)
        self._timer.timeout.connect(self._ask)

    def start(self) -> None:
        """Begin asking."""
        self._timer.start()

    def stop(self) -> None:
        """Ask no more."""
        self._timer.stop()
        if self._reply is not None:
            self._reply.finished.disconnect(self._on_finished)
            self._reply.abort()
            self._reply.deleteLater()
            self._reply = None

    def _ask(self) -> None:
        if self._reply is None:
            self._reply = self._network.get(self._request)
            self._reply.finished.connect(self._on_finished)

    def _on_finished(self) -> None:
        reply, self._reply = self._reply, None
        if reply is None:
            return
        body = body_of(reply)
        reply.deleteLater()
        try:
            answer = json.loads(body)
            health = Health(str(answer["status"]), str(answer.get("message") or ""))
        except (AttributeError, KeyError, TypeError, ValueError):
            return  # not listening yet
        if health.status in ("ready", "failed"):
            self._timer.stop()
        self.answered.emit(health)
