"""Who may be connected to a machine that offers itself: strangers only while they greet, and in seats of their own."""

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

from mlx_spec.hosts.finding.sealed import SecureChannel

MOST_GREETING: Final = 32
MOST_KNOWN: Final = 16


class Seats:
    """Nobody is turned away before he has shown who he is, as he may be known: where too many greet, the one gives way
    who began first, of the address that most come from. So a stranger takes seats from nobody but himself."""

    def __init__(self, most_greeting: int = MOST_GREETING, most_known: int = MOST_KNOWN) -> None:
        self._most_greeting, self._most_known = most_greeting, most_known
        self._lock = threading.Lock()
        self._greeting: dict[socket.socket, str] = {}  # in the order of coming
        self._known: dict[SecureChannel, bytes] = {}

    def greet(self, connection: socket.socket, address: str) -> None:
        """One more who has said nothing yet."""
        with self._lock:
            self._greeting[connection] = address
            if len(self._greeting) > self._most_greeting:
                crowd = Counter(self._greeting.values())
                most = max(crowd.values())
                given_up = next(one for one, where in self._greeting.items() if crowd[where] == most)
                del self._greeting[given_up]
                _hang_up(given_up)

    def greeted(self, connection: socket.socket) -> None:
        """He has shown who he is, or has gone."""
        with self._lock:
            self._greeting.pop(connection, None)

    def take(self, channel: SecureChannel) -> bool:
        """A seat for one who is known; False where there is none."""
        with self._lock:
            if len(self._known) >= self._most_known:
                return False
            self._known[channel] = channel.session.key
            return True

    def leave(self, channel: SecureChannel) -> None:
        """Give the seat back, where there was one."""
        with self._lock:
            self._known.pop(channel, None)

    def keep(self, is_known: Callable[[bytes], bool]) -> None:
        """Hang up on all that are known no longer; `is_known` is asked once for each key."""
        with self._lock:
            seated = dict(self._known)
        gone = {key for key in set(seated.values()) if not is_known(key)}
        for channel, key in seated.items():
            if key in gone:
                channel.close()

    def close(self) -> None:
        """Hang up on everybody."""
        with self._lock:
            for connection in self._greeting:
                _hang_up(connection)
        self.keep(lambda key: False)


def _hang_up(connection: socket.socket) -> None:
    """Who waits for its bytes finds the end of them, and closes it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
