"""Messages on a stream: four bytes of length, then JSON."""

import contextlib
import json
import select
import socket
import struct
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

_LENGTH: Final = struct.Struct(">I")
MOST_BYTES: Final = 1 << 26
"""The longest message: a prompt of some million ids."""
_READ_BYTES: Final = 1 << 16


class Framing:
    """A connected socket as messages. One thread receives; any may send, and a message is never cut by another."""

    def __init__(self, connection: socket.socket, *, send_limit_s: float, most_bytes: int = MOST_BYTES) -> None:
        self._socket = connection
        self.most_bytes = most_bytes
        """No longer message is taken: of who has not shown yet who it is, only short ones."""
        self._rest = bytearray()
        self._sending = threading.Lock()
        connection.setblocking(True)
        # Small steps go out at once; and who takes nothing for so long is not waited for.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seconds = int(send_limit_s)
        limit = struct.pack("ll", seconds, int((send_limit_s - seconds) * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    @property
    def addresses(self) -> tuple[str, str]:
        """Of this end and of the other."""
        return str(self._socket.getsockname()[0]), str(self._socket.getpeername()[0])

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message. Raises OSError, BlockingIOError among them where nothing was taken for too long."""
        self.send_bytes(packed(message))

    def send_bytes(self, data: bytes) -> None:
        """Send what `packed` made, as `send` does."""
        with self._sending:
            self._socket.sendall(data)

    def receive(self, patience_s: float, *, whole: bool = False) -> dict[str, Any] | None:
        """The next message; None where the other end has closed. Raises TimeoutError where nothing came for so long, or
        no `whole` message, OSError for a broken connection, ValueError for what is no message."""
        until_s = time.monotonic() + patience_s
        while (message := self._taken()) is None:
            left_s = max(0.0, until_s - time.monotonic()) if whole else patience_s
            if not select.select([self._socket], [], [], left_s)[0]:
                raise TimeoutError
            data = self._socket.recv(_READ_BYTES)
            if not data:
                return None
            self._rest += data
        return message

    def close(self) -> None:
        """Close the connection; who waits in `receive` finds its end."""
        with contextlib.suppress(OSError):  # it is closed, or broken: nothing is left to tell the other end
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _taken(self) -> dict[str, Any] | None:
        if len(self._rest) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._rest)
        if length > self.most_bytes:
            raise ValueError(f"a message of {length} bytes")
        end = _LENGTH.size + length
        if len(self._rest) < end:
            return None
        message = json.loads(self._rest[_LENGTH.size : end])
        del self._rest[:end]
        if not isinstance(message, dict):
            raise ValueError("a message that is no object")
        return message


def packed(message: Mapping[str, Any]) -> bytes:
    """A message as it is sent."""
    data = json.dumps(message, separators=(",", ":")).encode()
    return _LENGTH.pack(len(data)) + data
