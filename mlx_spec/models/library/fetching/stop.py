"""Stopping what waits on a network or a clock, at once and from another thread."""

import contextlib
import socket
import threading
import weakref
from typing import Any, Final

_OPENED: Final = ("connection.connect_tcp.complete", "connection.start_tls.complete")


class Stopped(Exception):  # noqa: N818 - no error: somebody asked for it
    """Raised in the working thread once `Stop.set` was called."""


class Stop:
    """Set once. Whoever waits in `wait` wakes, and every connection that `trace` saw opened is shut down."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()

    def set(self) -> None:
        """Stop everything."""
        with self._lock:
            self._event.set()
            connections = list(self._connections)
        for connection in connections:
            _shut(connection)

    def is_set(self) -> bool:
        """Whether `set` was called."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise Stopped once `set` was called."""
        if self._event.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Sleep, unless stopped. Raises Stopped."""
        self._event.wait(seconds)
        self.check()

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """The `trace` extension of an httpx request: it tells of new connections, before an answer has come on them."""
        if event in _OPENED:
            with self._lock:
                self._connections.add(info["return_value"])
            if self._event.is_set():
                _shut(info["return_value"])


def _shut(connection: Any) -> None:
    # Closing would not wake a thread that reads from it; shutting down does. The plain socket's way, also under TLS.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection.get_extra_info("socket"), socket.SHUT_RDWR)
