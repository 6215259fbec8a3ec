"""Objects over a socket between two machines that have greeted each other: nobody else reads, changes, repeats or drops
one unnoticed (libsodium's secretstream, each way)."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_ABYTES,
    crypto_secretstream_xchacha20poly1305_HEADERBYTES,
    crypto_secretstream_xchacha20poly1305_init_pull,
    crypto_secretstream_xchacha20poly1305_init_push,
    crypto_secretstream_xchacha20poly1305_pull,
    crypto_secretstream_xchacha20poly1305_push,
    crypto_secretstream_xchacha20poly1305_state,
)
from nacl.exceptions import CryptoError

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.finding.handshake import HandshakeError, Initiator, Purpose, Responder, Session
from mlx_spec.hosts.finding.identity import Identity

GREETING_S: Final = 10.0
_LONGEST_GREETING: Final = 4_096
_LONGEST: Final = 1 << 20


class ChannelError(LookaheadError):
    """The other machine is gone, silent, or what came is not what it sent."""


class SecureChannel:
    """One connection. `tell` may be called by any thread, `hear` by one at a time."""

    def __init__(self, connection: socket.socket, session: Session) -> None:
        self.session = session
        self._connection = connection
        self._telling = threading.Lock()
        self._out = crypto_secretstream_xchacha20poly1305_state()
        self._in = crypto_secretstream_xchacha20poly1305_state()
        header = crypto_secretstream_xchacha20poly1305_init_push(self._out, session.sending)
        connection.sendall(header)
        theirs = _exactly(connection, crypto_secretstream_xchacha20poly1305_HEADERBYTES)
        crypto_secretstream_xchacha20poly1305_init_pull(self._in, theirs, session.receiving)

    def tell(self, value: dict[str, Any]) -> None:
        """Send an object. Raises ChannelError where nobody is there any more."""
        with self._telling:
            sealed = crypto_secretstream_xchacha20poly1305_push(self._out, json.dumps(value).encode())
            try:
                self._connection.sendall(len(sealed).to_bytes(4, "big") + sealed)
            except OSError as error:
                raise _gone(self.session.name, error) from error

    def hear(self, timeout_s: float | None = None) -> dict[str, Any]:
        """The next object. Raises ChannelError where none comes in time, or none that the other side sent."""
        try:
            self._connection.settimeout(timeout_s)
            sealed = _framed(self._connection, _LONGEST)
            opened, _ = crypto_secretstream_xchacha20poly1305_pull(self._in, sealed)
            value = json.loads(opened)
        except TimeoutError as error:
            raise ChannelError(
                f"{self.session.name} said nothing for {timeout_s:g} s: look whether it runs."
            ) from error
        except OSError as error:
            raise _gone(self.session.name, error) from error
        except (CryptoError, ValueError, RuntimeError) as error:
            raise ChannelError(
                f"What came in {self.session.name}'s name was not sealed by its key: somebody may be in between."
            ) from error
        if not isinstance(value, dict):
            raise ChannelError(f"{self.session.name} said what is no object: update the older of the two.")
        return value

    def close(self) -> None:
        """Hang up; a `hear` that waits ends."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    @property
    def own_address(self) -> str:
        """Where this machine is, as the other side of this very connection sees it."""
        return _plain(self._connection.getsockname()[0])

    @property
    def address(self) -> str:
        """Where the other side is."""
        return _plain(self._connection.getpeername()[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(
    address: str, port: int, identity: Identity, purpose: Purpose, timeout_s: float = GREETING_S
) -> SecureChannel:
    """Greet the machine that offers itself there. Raises ChannelError or HandshakeError."""
    try:
        connection = socket.create_connection((address, port), timeout_s)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ChannelError(
            f"Nobody answers at {address} port {port} ({reason}): run `mlx-spec hosts offer` on that machine, and let"
            " its firewall take connections for it."
        ) from error

    def greet() -> Session:
        initiator = Initiator(identity, purpose)
        _send_framed(connection, initiator.hello)
        opening, session = initiator.open_with(_framed(connection, _LONGEST_GREETING))
        _send_framed(connection, opening)
        return session

    return _greeted(connection, greet, timeout_s)


def accept(connection: socket.socket, identity: Identity, timeout_s: float = GREETING_S) -> SecureChannel:
    """Greet a machine that has connected; the connection is closed where that fails. Raises as `connect`."""

    def greet() -> Session:
        responder = Responder(identity, _framed(connection, _LONGEST_GREETING))
        _send_framed(connection, responder.reply)
        return responder.finish(_framed(connection, _LONGEST_GREETING))

    return _greeted(connection, greet, timeout_s)


def _greeted(connection: socket.socket, greet: Callable[[], Session], timeout_s: float) -> SecureChannel:
    try:
        connection.settimeout(timeout_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return SecureChannel(connection, greet())
    except HandshakeError:
        connection.close()
        raise
    except (OSError, ValueError) as error:
        connection.close()
        raise _gone("The other machine", error) from error


def _framed(connection: socket.socket, longest: int) -> bytes:
    length = int.from_bytes(_exactly(connection, 4), "big")
    if not 0 < length <= longest + crypto_secretstream_xchacha20poly1305_ABYTES:
        raise ValueError(f"a message of {length} bytes")
    return _exactly(connection, length)


def _send_framed(connection: socket.socket, message: bytes) -> None:
    connection.sendall(len(message).to_bytes(4, "big") + message)


def _exactly(connection: socket.socket, count: int) -> bytes:
    got = bytearray()
    while len(got) < count:
        if not (some := connection.recv(count - len(got))):
            raise ConnectionResetError("it hung up")
        got += some
    return bytes(got)


def _plain(address: str) -> str:
    """An IPv4 address as such, also where a socket of both families tells it."""
    return address.removeprefix("::ffff:")


def _gone(name: str, error: Exception) -> ChannelError:
    reason = str(getattr(error, "strerror", None) or error).lower()
    return ChannelError(f"{name} is gone ({reason}): look whether Lookahead still runs there.")
