"""How quick and how wide the way to another machine is, over TCP as the ring goes: one side echoes, the other measures.

Whoever measures shows a token first, so that nobody else has a machine echo.
"""

import contextlib
import secrets
import socket
import statistics
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

from mlx_spec.errors import LookaheadError

ECHO_S: Final = 20.0
"""So long an echo waits for who measures, and so long one measurement may take."""
_LOOK_S: Final = 0.2  # closing a listener wakes nobody who waits for it, not on every system
_TOKEN_BYTES: Final = 16
_PING: Final = b"P"
_BULK: Final = b"B"
_PING_BYTES: Final = 64
_PINGS: Final = 20
_FIRST_BULK_BYTES: Final = 1 << 20
_MOST_BULK_BYTES: Final = 64 << 20
_WORTH_TELLING_S: Final = 0.05  # a shorter transfer tells of buffers, not of the wire


@dataclass(frozen=True, slots=True)
class WayMeasured:
    """A small message there and back, in milliseconds, the median; and bytes a second, one way."""

    round_trip_ms: float
    bytes_per_s: float

    def to_dict(self) -> dict[str, float]:
        """Ready for JSON."""
        return {"round_trip_ms": self.round_trip_ms, "bytes_per_s": self.bytes_per_s}


class Echo:
    """Waits on a free port for one who knows the `token`, echoes for it, and is over."""

    def __init__(self, address: str = "") -> None:
        self.token = secrets.token_bytes(_TOKEN_BYTES)
        # Both families where the system can: the ring's addresses may be either.
        both = not address and socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both or ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family, dualstack_ipv6=both)
        self._listener.settimeout(_LOOK_S)
        self.port = int(self._listener.getsockname()[1])
        self._ended = False
        self._thread = threading.Thread(target=self._serve, name="echo", daemon=True)
        self._thread.start()

    def told(self) -> dict[str, Any]:
        """What the measuring side has to know."""
        return {"port": self.port, "token": self.token.hex()}

    def close(self) -> None:
        """Wait for nobody any more."""
        self._ended = True
        self._thread.join(2 * _LOOK_S)

    def _serve(self) -> None:
        with self._listener:
            ends = time.monotonic() + ECHO_S
            while not self._ended and time.monotonic() < ends:
                with contextlib.suppress(OSError):
                    connection, _ = self._listener.accept()
                    with connection:
                        if self._is_over(connection):
                            return

    def _is_over(self, connection: socket.socket) -> bool:
        """Echo for one who knows the token; whether it was one."""
        connection.settimeout(ECHO_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not secrets.compare_digest(_exactly(connection, _TOKEN_BYTES), self.token):
            return False
        _echo(connection)
        return True


def measure(address: str, port: int, token: bytes) -> WayMeasured:
    """Measure the way to an Echo there. Raises LookaheadError where nobody answers."""
    try:
        with socket.create_connection((address, port), timeout=5.0) as connection:
            connection.settimeout(ECHO_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(token)
            pings = [_ping(connection) for _ in range(_PINGS + 1)][1:]
            return WayMeasured(1e3 * statistics.median(pings), _bulk(connection, statistics.median(pings)))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LookaheadError(f"{address} port {port} does not answer ({reason})") from error


def _ping(connection: socket.socket) -> float:
    began = time.perf_counter()
    connection.sendall(_PING + bytes(_PING_BYTES))
    _exactly(connection, _PING_BYTES)
    return time.perf_counter() - began


def _bulk(connection: socket.socket, round_trip_s: float) -> float:
    """Bytes a second: as many are sent as take long enough to tell."""
    count = _FIRST_BULK_BYTES
    while True:
        began = time.perf_counter()
        connection.sendall(_BULK + count.to_bytes(8, "big"))
        connection.sendall(bytes(count))
        _exactly(connection, 1)
        spent_s = max(time.perf_counter() - began - round_trip_s, 1e-6)
        if spent_s >= _WORTH_TELLING_S or count >= _MOST_BULK_BYTES:
            return count / spent_s
        count *= 4


def _echo(connection: socket.socket) -> None:
    while True:
        match connection.recv(1):
            case b"P":
                connection.sendall(_exactly(connection, _PING_BYTES))
            case b"B":
                _swallow(connection, min(int.from_bytes(_exactly(connection, 8), "big"), _MOST_BULK_BYTES))
                connection.sendall(b".")
            case _:
                return


def _swallow(connection: socket.socket, count: int) -> None:
    room = bytearray(1 << 16)
    while count:
        got = connection.recv_into(room, min(count, len(room)))
        if not got:
            raise ConnectionResetError("it hung up")
        count -= got


def _exactly(connection: socket.socket, count: int) -> bytes:
    got = bytearray()
    while len(got) < count:
        if not (some := connection.recv(count - len(got))):
            raise ConnectionResetError("it hung up")
        got += some
    return bytes(got)
