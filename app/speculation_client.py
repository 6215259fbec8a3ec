"""Asks the engine about the machine, and steers an answer under way, beside the stream that carries the answer."""

import json
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QByteArray, QObject, QUrl, Signal
from PySide6.QtNetwork import QNetworkAccessManager, QNetworkProxy, QNetworkReply, QNetworkRequest

from app.engine_process import EngineAddress
from app.machine import parse_machine
from app.protocol import parse_failure

_STATUS = QNetworkRequest.Attribute.HttpStatusCodeAttribute
_TIMEOUT_MS = 10_000
MACHINE = "/v1/speculation/machine"
SETTINGS = "/v1/speculation/settings"


class SpeculationClient(QObject):
    """Small requests, each answered by a signal.

    Signals:
        machine_told: a Machine; with nothing known where the engine did not measure it.
        steered: sent when a change was taken; it holds from the next round on.
        refused: why a change was not taken, in a sentence.
    """

    machine_told = Signal(object)
    steered = Signal()
    refused = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._address: EngineAddress | None = None
        self._network = QNetworkAccessManager(self)
        self._network.setProxy(QNetworkProxy(QNetworkProxy.ProxyType.NoProxy))
        # One connection for all: a closure that holds its reply outlives the network it came from, and crashes.
        self._network.finished.connect(self._on_reply)

    def set_address(self, address: EngineAddress) -> None:
        """Send what follows to `address`."""
        self._address = address

    def fetch_machine(self) -> None:
        """Ask what was measured of the machine."""
        if self._address is not None:
            self._network.get(self._request(MACHINE))

    def steer(self, request_id: str | None, changes: Mapping[str, Any]) -> None:
        """Change the answer `request_id`, or the one under way."""
        if self._address is not None:
            body = dict(changes) | ({"request": request_id} if request_id else {})
            request = self._request(SETTINGS)
            request.setHeader(QNetworkRequest.KnownHeaders.ContentTypeHeader, "application/json")
            self._network.post(request, QByteArray(json.dumps(body).encode()))

    def _request(self, path: str) -> QNetworkRequest:
        assert self._address is not None
        request = QNetworkRequest(QUrl(self._address.url + path))
        request.setRawHeader(QByteArray(b"Authorization"), QByteArray(f"Bearer {self._address.api_key}".encode()))
        request.setTransferTimeout(_TIMEOUT_MS)
        return request

    def _on_reply(self, reply: QNetworkReply) -> None:
        reply.deleteLater()
        if reply.url().path() == MACHINE:
            self.machine_told.emit(parse_machine(bytes(reply.readAll().data())))
        else:
            self._on_steered(reply)

    def _on_steered(self, reply: QNetworkReply) -> None:
        if reply.attribute(_STATUS) == 200:
            self.steered.emit()
            return
        try:
            self.refused.emit(parse_failure(json.loads(bytes(reply.readAll().data()))).message)
        except (AttributeError, KeyError, TypeError, ValueError):
            self.refused.emit(f"The engine did not take the change: {reply.errorString()}.")
