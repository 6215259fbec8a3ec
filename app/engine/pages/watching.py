"""Asks the engine for one of its pages again and again, while somebody looks."""

import json
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtNetwork import QNetworkReply

from app.engine.network import EngineAddress, EngineNetwork, body_of, status_of
from app.engine.protocol import ProtocolError

_TIMEOUT_MS = 5_000


class PageClient(QObject):
    """One question at a time: an engine that is slow to answer is not asked again meanwhile.

    `parse` makes a record of the page at `path`; ProtocolError or ValueError where it cannot read it.

    Signals:
        told: such a record; None where the engine has no such page.
    """

    told = Signal(object)

    def __init__(self, path: str, poll_ms: int, parse: Callable[[Any], object], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path, self._parse = path, parse
        self._network = EngineNetwork(self)
        self._network.finished.connect(self._on_reply)
        self._reply: QNetworkReply | None = None
        self._timer = QTimer(self, interval=poll_ms)
        self._timer.timeout.connect(self.fetch)

    def set_address(self, address: EngineAddress) -> None:
        """Ask there from now on."""
        self._network.address = address

    def watch(self, is_watched: bool) -> None:
        """Ask now and again while somebody looks."""
        if is_watched and not self._timer.isActive():
            self._timer.start()
            self.fetch()
        elif not is_watched:
            self._timer.stop()

    def fetch(self) -> None:
        """Ask once."""
        if self._network.address is not None and self._reply is None:
            self._reply = self._network.get(self._network.request(self._path, _TIMEOUT_MS))

    def _on_reply(self, reply: QNetworkReply) -> None:
        self._reply = None
        reply.deleteLater()
        if not self._network.is_of_this_engine(reply):
            return
        if status_of(reply) == 404:
            self.told.emit(None)
        elif status_of(reply) == 200:
            try:
                record = self._parse(json.loads(body_of(reply)))
            except (ProtocolError, ValueError):
                return  # a newer engine may tell what this window cannot read
            self.told.emit(record)
