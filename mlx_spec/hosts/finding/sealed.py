"""Objects over a socket between two machines that have greeted each other: nobody else reads, changes, repeats or drops
one unnoticed (libsodium's secretstream, each way)."""

import json
import socket
import threading
import time
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
from mlx_spec.hosts.finding.greeting import Initiator, Purpose, Responder, Session
from mlx_spec.hosts.finding.identity import Identity
from mlx_spec.hosts.finding.streaming import Stream

GREETING_S: Final = 10.0
"""So long a whole greeting may take, from the first byte to the first word that is sealed."""
_TELL_S: Final = 10.0
_LONGEST_GREETING: Final = 4_096
_LONGEST: Final = 1 << 20


class ChannelError(LookaheadError):
    """The other machine is gone, silent, or what came is not what it sent."""


class SecureChannel:
    """One connection. `tell` may be called by any thread, `hear` by one at a time."""

    def __init__(self, stream: Stream, session: Session, until_s: float | None = None) -> None:
        self.session = session
        self._stream = stream
        self._telling = threading.Lock()
        self._out = crypto_secretstream_xchacha20poly1305_state()
        self._in = crypto_secretstream_xchacha20poly1305_state()
        stream.give(crypto_secretstream_xchacha20poly1305_init_push(self._out, session.sending))
        theirs = stream.take(crypto_secretstream_xchacha20poly1305_HEADERBYTES, until_s)
        crypto_secretstream_xchacha20poly1305_init_pull(self._in, theirs, session.receiving)

    def tell(self, value: dict[str, Any]) -> None:
        """Send an object. Raises ChannelError where nobody is there any more."""
        with self._telling:
            sealed = crypto_secretstream_xchacha20poly1305_push(self._out, json.dumps(value).encode())
            try:
                _give_framed(self._stream, sealed)
            except OSError as error:
                raise _gone(self.session.name, error) from error

    def hear(self, timeout_s: float | None = None) -> dict[str, Any]:
        """The next object, all of it. Raises ChannelError where none comes in time, or none that the other side
        sent."""
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            sealed = _take_framed(self._stream, _LONGEST, until_s)
            opened, _ = crypto_secretstream_xchacha20poly1305_pull(self._in, sealed)
            value = json.loads(opened)
        except TimeoutError as error:
            silent = f"said nothing for {timeout_s:g} s" if timeout_s is not None else "is silent"
            raise ChannelError(f"{self.session.name} {silent}: look whether it runs.") from error
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
        self._stream.close()

    @property
    def own_address(self) -> str:
        """Where this machine is, as the other side of this very connection sees it."""
        return self._stream.addresses[0]

    @property
    def address(self) -> str:
        """Where the other side is."""
        return self._stream.addresses[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(
    address: str, port: int, identity: Identity, purpose: Purpose, timeout_s: float = GREETING_S
) -> SecureChannel:
    """Greet the machine that offers itself there. Raises ChannelError or GreetingError."""
    try:
        connection = socket.create_connection((address, port), timeout_s)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ChannelError(
            f"Nobody answers at {address} port {port} ({reason}): run `mlx-spec hosts offer` on that machine, and let"
            " its firewall take connections for it."
        ) from error

    def greet(stream: Stream, until_s: float) -> Session:
        initiator = Initiator(identity, purpose)
        _give_framed(stream, initiator.hello)
        opening, session = initiator.open_with(_take_framed(stream, _LONGEST_GREETING, until_s))
        _give_framed(stream, opening)
        return session

    return _greeted(connection, greet, time.monotonic() + timeout_s)


def accept(connection: socket.socket, identity: Identity, until_s: float) -> SecureChannel:
    """Greet a machine that has connected, until a time of the monotonic clock; the connection is closed where that
    fails. Raises as `connect`."""

    def greet(stream: Stream, until_s: float) -> Session:
        responder = Responder(identity, _take_framed(stream, _LONGEST_GREETING, until_s))
        _give_framed(stream, responder.reply)
        return responder.finish(_take_framed(stream, _LONGEST_GREETING, until_s))

    return _greeted(connection, greet, until_s)


def _greeted(connection: socket.socket, greet: Callable[[Stream, float], Session], until_s: float) -> SecureChannel:
    try:
        stream = Stream(connection, _TELL_S)
        return SecureChannel(stream, greet(stream, until_s), until_s)
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError | ValueError):
            raise _gone("The other machine", error) from error
        raise


def _take_framed(stream: Stream, longest: int, until_s: float | None) -> bytes:
    length = int.from_bytes(stream.take(4, until_s), "big")
    if not 0 < length <= longest + crypto_secretstream_xchacha20poly1305_ABYTES:
        raise ValueError(f"a message of {length} bytes")
    return stream.take(length, until_s)


def _give_framed(stream: Stream, message: bytes) -> None:
    stream.give(len(message).to_bytes(4, "big") + message)


def _gone(name: str, error: Exception) -> ChannelError:
    reason = str(getattr(error, "strerror", None) or error).lower()
    return ChannelError(f"{name} is gone ({reason}): look whether Lookahead still runs there.")
