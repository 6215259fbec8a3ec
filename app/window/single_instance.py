"""One program for one data folder: a second launch hands its files to the first, which comes to the front."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

from app.store import database_file

CONNECT_MS = 500


def instance_name() -> str:
    """The name under which the first launch listens; each user and each data folder has its own."""
    told = f"{os.getuid() if hasattr(os, 'getuid') else ''}:{database_file()}"
    return f"lookahead-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


class SingleInstance(QObject):
    """Listens for later launches.

    Signals:
        launched: the Paths that a later launch was asked to open, as a tuple; mostly empty.
    """

    launched = Signal(object)

    def __init__(self, name: str | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = name or instance_name()
        self._server = QLocalServer(self)
        self._callers: dict[QLocalSocket, bytearray] = {}
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._on_connection)

    def hand_over(self, paths: Sequence[Path] = ()) -> bool:
        """Tell an earlier launch of these files; False where there is none, and this one is the first."""
        socket = QLocalSocket()
        socket.connectToServer(self._name)
        if not socket.waitForConnected(CONNECT_MS):
            return False
        socket.write("\n".join(str(path.absolute()) for path in paths).encode() + b"\0")
        socket.waitForBytesWritten(CONNECT_MS)
        socket.disconnectFromServer()
        return True

    def listen(self) -> bool:
        """Be the first: hear of later launches. A socket that a killed program left is taken over."""
        if self._server.listen(self._name):
            return True
        QLocalServer.removeServer(self._name)
        return self._server.listen(self._name)

    def _on_connection(self) -> None:
        while (socket := self._server.nextPendingConnection()) is not None:
            self._callers[socket] = bytearray()
            socket.readyRead.connect(self._read)
            socket.disconnected.connect(self._read)
        self._read()

    def _read(self) -> None:
        """Whichever it was that said more or left: hardly ever is there more than one."""
        for socket, told in list(self._callers.items()):
            told += bytes(socket.readAll().data())
            if told.endswith(b"\0"):
                del self._callers[socket]
                lines = bytes(told[:-1]).decode("utf-8", "replace").split("\n")
                self.launched.emit(tuple(Path(line) for line in lines if line))
            elif socket.state() == QLocalSocket.LocalSocketState.UnconnectedState:
                del self._callers[socket]
