"""Tells the engine which chats are gone: what it had read for them it forgets."""

from collections.abc import Iterable
from urllib.parse import quote

from PySide6.QtCore import QByteArray, QObject
from PySide6.QtNetwork import QNetworkReply

from app.engine.network import EngineAddress, EngineNetwork, status_of

_TIMEOUT_MS = 10_000


class PrefixesClient(QObject):
    """Tells each key once. What an engine has not heard, as it starts or has stopped, waits for the next `send`."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._network = EngineNetwork(self)
        self._network.finished.connect(self._on_reply)
        self._waiting: list[str] = []

    def set_address(self, address: EngineAddress) -> None:
        """Send what follows to `address`."""
        self._network.address = address

    def forget(self, keys: Iterable[str]) -> None:
        """The chats of these keys are gone for good."""
        self._waiting += keys
        self.send()

    def send(self) -> None:
        """Tell what waits; to be called when an engine is ready."""
        if self._network.address is None:
            return
        waiting, self._waiting = self._waiting, []
        for key in waiting:
            request = self._network.request(f"/v1/prefixes/{quote(key, safe='')}", _TIMEOUT_MS)
            self._network.sendCustomRequest(request, QByteArray(b"DELETE")).setProperty("key", key)

    def _on_reply(self, reply: QNetworkReply) -> None:
        reply.deleteLater()
        if status_of(reply) is None:
            self._waiting.append(str(reply.property("key")))
