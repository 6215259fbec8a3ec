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
from mlx_spec.hosts.finding.streaming import Stream

ECHO_S: Final = 20.0
"""So long an echo waits for who measures, and so long one measurement may take."""
_TOKEN_S: Final = 2.0  # one who does not show it at once is not waited for by the one who has it
_LOOK_S: Final = 0.2  # closing a listener wakes nobody who waits for it, not on every system
_TOKEN_BYTES: Final = 16
_PING: Final = b"P"
_BULK: Final = b"B"
_PING_BYTES: Final = 64
_PINGS: Final = 20
_FIRST_BULK_BYTES: Final = 1 << 20
_MOST_BULK_BYTES: Final = 64 << 20
_SWALLOW_BYTES: Final = 1 << 16
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
        stream, now_s = Stream(connection, ECHO_S), time.monotonic()
        if not secrets.compare_digest(stream.take(_TOKEN_BYTES, now_s + _TOKEN_S), self.token):
            return False
        with contextlib.suppress(OSError):  # who has measured hangs up
            _echo(stream, now_s + ECHO_S)
        return True


def measure(address: str, port: int, token: bytes) -> WayMeasured:
    """Measure the way to an Echo there. Raises LookaheadError where nobody answers."""
    try:
        with socket.create_connection((address, port), timeout=5.0) as connection:
            stream, until_s = Stream(connection, ECHO_S), time.monotonic() + ECHO_S
            stream.give(token)
            round_trip_s = statistics.median([_ping(stream, until_s) for _ in range(_PINGS + 1)][1:])
            return WayMeasured(1e3 * round_trip_s, _bulk(stream, round_trip_s, until_s))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LookaheadError(f"{address} port {port} does not answer ({reason})") from error


def _ping(stream: Stream, until_s: float) -> float:
    began = time.perf_counter()
    stream.give(_PING + bytes(_PING_BYTES))
    stream.take(_PING_BYTES, until_s)
    return time.perf_counter() - began


def _bulk(stream: Stream, round_trip_s: float, until_s: float) -> float:
    """Bytes a second: as many are sent as take long enough to tell."""
    count = _FIRST_BULK_BYTES
    while True:
        began = time.perf_counter()
        stream.give(_BULK + count.to_bytes(8, "big"))
        stream.give(bytes(count))
        stream.take(1, until_s)
        spent_s = max(time.perf_counter() - began - round_trip_s, 1e-6)
        if spent_s >= _WORTH_TELLING_S or count >= _MOST_BULK_BYTES:
            return count / spent_s
        count *= 4


def _echo(stream: Stream, until_s: float) -> None:
    while True:
        match stream.take(1, until_s):
            case b"P":
                stream.give(stream.take(_PING_BYTES, until_s))
            case b"B":
                left = min(int.from_bytes(stream.take(8, until_s), "big"), _MOST_BULK_BYTES)
                while left:
                    left -= len(stream.take(min(left, _SWALLOW_BYTES), until_s))
                stream.give(b".")
            case _:
                return
