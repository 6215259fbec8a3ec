"""A connected socket as bytes that have to be there by a time, whoever sends them, and however slowly.

The socket stays a blocking one: its time limits are the system's own, one for each way, so that who waits to hear does
not change for how long another thread may tell.
"""

import contextlib
import socket
import struct
import sys
import time
from typing import Final

_KEEPALIVE_S: Final = 5
_KEEPALIVE_PROBES: Final = 3
_SHORTEST_S: Final = 0.001  # a limit of 0 would be none


class Stream:
    """`take` may be called by one thread at a time, and `give` by one. Who takes nothing for `give_s` is gone; and so
    is, within some twenty seconds, a machine that is off or was cut off, of which nobody would hear otherwise."""

    def __init__(self, connection: socket.socket, give_s: float) -> None:
        self._socket, self._give_s = connection, give_s
        own, other = connection.getsockname()[0], connection.getpeername()[0]
        self.addresses = str(own).removeprefix("::ffff:"), str(other).removeprefix("::ffff:")
        """Of this side and of the other, IPv4 as such also on a socket of both families."""
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _limit(give_s))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sys.platform == "darwin":
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPALIVE, _KEEPALIVE_S)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)
        if sys.platform == "linux":  # nobody is probed while something sent is not acknowledged
            silent_ms = 1000 * _KEEPALIVE_S * (1 + _KEEPALIVE_PROBES)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, silent_ms)

    def take(self, count: int, until_s: float | None = None) -> bytes:
        """So many bytes. Raises TimeoutError where they are not all there by `until_s` of the monotonic clock, OSError
        where the other side is gone."""
        got = bytearray()
        while len(got) < count:
            self._wait_until(until_s)
            try:
                some = self._socket.recv(min(count - len(got), 1 << 16))
            except BlockingIOError:  # so the system tells that its limit is over
                continue
            if not some:
                raise ConnectionResetError("it hung up")
            got += some
        return bytes(got)

    def give(self, data: bytes) -> None:
        """Send it all. Raises OSError where the other side is gone, or takes nothing."""
        try:
            self._socket.sendall(data)
        except BlockingIOError as error:
            raise TimeoutError(f"it took nothing for {self._give_s:g} s") from error

    def close(self) -> None:
        """Hang up; a `take` that waits ends. From any thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _wait_until(self, until_s: float | None) -> None:
        left_s = 0.0
        if until_s is not None and (left_s := until_s - time.monotonic()) <= 0:
            raise TimeoutError("too little came in time")
        limit = _limit(max(left_s, _SHORTEST_S) if until_s is not None else 0.0)
        # macOS sets nothing on a connection that is over; what came before that is still to be read.
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


def _limit(seconds: float) -> bytes:
    """A `timeval`; 0 is no limit."""
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
