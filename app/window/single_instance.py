"""One program for one data folder: a second launch hands its files and links to the first, which comes to the front.

What is said: the version of who comes, the links, the paths, a line each, then a NUL; and the version of who was there.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

from app.store import database_file
from app.window.links import is_link

CONNECT_MS = 500


def instance_name() -> str:
    """The name under which the first launch listens; each user and each data folder has its own."""
    told = f"{os.getuid() if hasattr(os, 'getuid') else ''}:{database_file()}"
    return f"lookahead-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


class SingleInstance(QObject):
    """Listens for later launches.

    Signals:
        launched: the Paths that a later launch was asked to open, as a tuple; mostly empty.
        linked: a `lookahead://` link, as text. Sent for each that a later launch was asked to open.
        differed: the version of a later launch that is not this one's.
    """

    launched = Signal(object)
    linked = Signal(str)
    differed = Signal(str)

    def __init__(self, name: str | None = None, version: str = "", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name, self._version = name or instance_name(), version
        self.earlier_version = ""
        self._server = QLocalServer(self)
        self._callers: dict[QLocalSocket, bytearray] = {}
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._on_connection)

    def hand_over(self, paths: Sequence[Path] = (), links: Sequence[str] = ()) -> bool:
        """Tell an earlier launch of these; False where there is none, and this one is the first.

        `earlier_version` is the earlier one's afterwards, empty where it did not tell.
        """
        socket = QLocalSocket()
        socket.connectToServer(self._name)
        if not socket.waitForConnected(CONNECT_MS):
            return False
        lines = [self._version, *(link.replace("\n", " ") for link in links), *(str(path.absolute()) for path in paths)]
        socket.write("\n".join(lines).encode() + b"\0")
        socket.waitForBytesWritten(CONNECT_MS)
        if socket.waitForReadyRead(CONNECT_MS):
            self.earlier_version = bytes(socket.readAll().data()).decode("utf-8", "replace").strip("\0")
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
                socket.write(self._version.encode() + b"\0")
                socket.flush()
                version, *lines = bytes(told[:-1]).decode("utf-8", "replace").split("\n")
                self.launched.emit(tuple(Path(line) for line in lines if line and not is_link(line)))
                for line in lines:
                    if is_link(line):
                        self.linked.emit(line)
                if version != self._version:
                    self.differed.emit(version)
            elif socket.state() == QLocalSocket.LocalSocketState.UnconnectedState:
                del self._callers[socket]
