"""Asks the engine about the machine, and steers an answer under way, beside the stream that carries the answer."""

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtNetwork import QNetworkReply

from app.engine.machine import parse_machine
from app.engine.network import EngineAddress, EngineNetwork, body_of, status_of
from app.engine.protocol import parse_failure

_TIMEOUT_MS = 10_000
MACHINE = "/v1/speculation/machine"
SETTINGS = "/v1/speculation/settings"


class SpeculationClient(QObject):
    """Small requests, each answered by a signal. Changes go one after the other: of two under way side by side nobody
    knows which one the engine takes last.

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
        self._network = EngineNetwork(self)
        self._network.finished.connect(self._on_reply)
        self._changes: deque[dict[str, Any]] = deque()
        self._is_steering = False

    def set_address(self, address: EngineAddress) -> None:
        """Send what follows to `address`; what waited was for an answer of the engine before."""
        self._network.address = address
        self._changes.clear()

    def fetch_machine(self) -> None:
        """Ask what was measured of the machine."""
        if self._network.address is not None:
            self._network.get(self._network.request(MACHINE, _TIMEOUT_MS))

    def steer(self, request_id: str | None, changes: Mapping[str, Any]) -> None:
        """Change the answer `request_id`, or the one under way."""
        if self._network.address is not None:
            self._changes.append(dict(changes) | ({"request": request_id} if request_id else {}))
            self._next_change()

    def _next_change(self) -> None:
        if self._changes and not self._is_steering:
            self._is_steering = True
            self._network.send_json(SETTINGS, self._changes.popleft(), timeout_ms=_TIMEOUT_MS)

    def _on_reply(self, reply: QNetworkReply) -> None:
        reply.deleteLater()
        if reply.url().path() == SETTINGS:
            self._is_steering = False
            self._on_steered(reply)
            self._next_change()
        elif self._network.is_of_this_engine(reply):
            self.machine_told.emit(parse_machine(body_of(reply)))

    def _on_steered(self, reply: QNetworkReply) -> None:
        if status_of(reply) == 200:
            self.steered.emit()
            return
        try:
            self.refused.emit(parse_failure(json.loads(body_of(reply))).message)
        except (AttributeError, KeyError, TypeError, ValueError):
            self.refused.emit(self.tr("The engine did not take the change: {}.").format(reply.errorString()))
