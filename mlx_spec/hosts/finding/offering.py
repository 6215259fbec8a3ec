"""The side that offers itself: it shows a code to who asks, and then works for that machine alone.

What it does for a leader: it answers the questions of `questions`, and runs `mlx-spec` as a follower. No other program,
and nothing at all for a machine whose key it does not keep.
"""

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self

from mlx_spec.errors import LookaheadError, StorageError
from mlx_spec.hosts.finding.acquaintances import Acquaintance, Acquaintances
from mlx_spec.hosts.finding.identity import Identity, own_identity
from mlx_spec.hosts.finding.joining import PATIENCE_S, PORT
from mlx_spec.hosts.finding.questions import answer
from mlx_spec.hosts.finding.sealed import GREETING_S, ChannelError, SecureChannel, accept
from mlx_spec.hosts.finding.seats import Seats
from mlx_spec.hosts.finding.working import work

_LOOK_S: Final = 0.2  # closing a listener wakes nobody who waits for it, not on every system


Decision = Literal["yes", "no", "never"]


class Screen(Protocol):
    """Where the offering machine shows what is asked of it. Called by threads of the offer."""

    def compare(self, name: str, code: str, address: str, withdrawn: threading.Event) -> Decision:
        """Ask a person whether the machine `name` shows that very code, and may use this one: never is a no for good.
        `withdrawn` is set where nobody waits for the answer any more."""

    def tell(self, kind: str, name: str, sentence: str) -> None:
        """Show one line. `kind` is asked, refused, joined, working, idle or failed."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A connection that has shown its key."""

    channel: SecureChannel
    name: str
    key: bytes


class Offer:
    """While it is entered, this machine may be asked. `address` "" is every one of its own. Raises LookaheadError where
    the port is taken."""

    def __init__(
        self,
        screen: Screen,
        *,
        address: str = "",
        port: int = PORT,
        identity: Identity | None = None,
        known: Acquaintances | None = None,
    ) -> None:
        self._screen, self._identity = screen, identity or own_identity()
        self._known = known or Acquaintances()
        self._pairing = threading.Lock()  # one code at a time is on the screen
        self._seats = Seats()
        self._asking: SecureChannel | None = None
        self._ended = False
        try:
            both = not address and socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if both or ":" in address else socket.AF_INET
            self._listener = socket.create_server((address, port), family=family, dualstack_ipv6=both)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise LookaheadError(
                f"Port {port} cannot be listened on ({reason}): another offer may run here already, or give --port."
            ) from error
        self._listener.settimeout(_LOOK_S)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, name="offer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up on everybody; what works for a leader ends."""
        self._ended = True
        self._thread.join()
        self._seats.close()
        if (asking := self._asking) is not None:
            asking.close()

    def _serve(self) -> None:
        looked_s = 0.0
        with self._listener:
            while not self._ended:
                with contextlib.suppress(OSError):  # nobody, or one who hung up before he was heard
                    connection, address = self._listener.accept()
                    self._seats.greet(connection, str(address[0]))
                    threading.Thread(target=self._hear, args=(connection,), name="offer", daemon=True).start()
                # However many knock: who is forgotten is worked for no longer, whatever he does.
                if time.monotonic() - looked_s >= _LOOK_S:
                    self._seats.keep(self._is_leader)
                    looked_s = time.monotonic()

    def _is_leader(self, key: bytes) -> bool:
        try:
            return self._known.of(key, "leader") is not None
        except StorageError:  # nobody can say any more that he may
            return False

    def _hear(self, connection: socket.socket) -> None:
        # Whoever does not greet, or not as agreed, is not worth a line on the screen.
        try:
            until_s = time.monotonic() + GREETING_S
            with contextlib.suppress(LookaheadError), accept(connection, self._identity, until_s) as channel:
                channel.hear(max(0.0, until_s - time.monotonic()))  # only the key's owner can say anything
                self._seats.greeted(connection)
                self._greeted(_Asked(channel, channel.session.name, channel.session.key))
        finally:
            self._seats.greeted(connection)

    def _greeted(self, asked: _Asked) -> None:
        if asked.channel.session.purpose == "pair":
            self._pair(asked)
            return
        try:
            self._work(asked)
        finally:
            self._seats.leave(asked.channel)

    def _pair(self, asked: _Asked) -> None:
        if self._known.of(asked.key, "refused") is not None:
            asked.channel.tell({"refused": f"{self._identity.name} does not want to be asked by this machine again."})
            return
        if not self._pairing.acquire(blocking=False):
            asked.channel.tell({"refused": f"{self._identity.name} is being asked by another machine: try again."})
            return
        self._asking = asked.channel
        try:
            self._compare(asked)
        except ChannelError as error:
            self._screen.tell("failed", asked.name, f"{asked.name} was not joined: {error}")
        finally:
            self._asking = None
            self._pairing.release()

    def _compare(self, asked: _Asked) -> None:
        channel, name = asked.channel, asked.name
        channel.tell({})
        theirs = _Answer(channel)
        said = self._screen.compare(name, channel.session.code, channel.address, theirs.withdrawn)
        channel.tell({"confirmed": said == "yes"})
        if said == "never":
            self._known.keep(Acquaintance(asked.key.hex(), name, "refused", channel.address, 0, time.time()))
            self._screen.tell("refused", name, f"{name} may not ask again, until `mlx-spec hosts forget {name}`.")
        elif said == "no":
            self._screen.tell("refused", name, f"{name} may not use this machine.")
        elif theirs.wait() is not True:
            self._screen.tell("refused", name, f"Somebody at {name} said no.")
        elif channel.hear(PATIENCE_S).get("kept") is True:
            self._known.keep(Acquaintance(asked.key.hex(), name, "leader", channel.address, 0, time.time()))
            self._screen.tell("joined", name, f"{name} may use this machine from now on.")

    def _work(self, asked: _Asked) -> None:
        if self._known.of(asked.key, "leader") is None:
            sentence = f"{self._identity.name} does not know this machine: run `mlx-spec hosts join` for it again."
            asked.channel.tell({"refused": sentence})
            return
        if not self._seats.take(asked.channel):
            asked.channel.tell({"refused": f"{self._identity.name} is asked by too many at once: try again."})
            return
        asked.channel.tell({})
        while True:
            question = asked.channel.hear()
            # Forgotten a moment ago, and not hung up on yet.
            if self._known.of(asked.key, "leader") is None:
                return
            if question.get("ask") == "follow":
                work(asked.channel, question, lambda kind, words: self._screen.tell(kind, asked.name, words))
                return
            asked.channel.tell(answer(question))


class _Answer:
    """What the other side's person says, heard while this side's still thinks."""

    def __init__(self, channel: SecureChannel) -> None:
        self.withdrawn = threading.Event()
        self._said: dict[str, Any] = {}
        self._problem: ChannelError | None = None
        self._thread = threading.Thread(target=self._listen, args=(channel,), name="code", daemon=True)
        self._thread.start()

    def wait(self) -> bool:
        """Whether it was a yes. Raises ChannelError."""
        self._thread.join()
        if self._problem is not None:
            raise self._problem
        return self._said.get("confirmed") is True

    def _listen(self, channel: SecureChannel) -> None:
        try:
            self._said = channel.hear(PATIENCE_S)
        except ChannelError as error:
            self._problem = error
        if self._said.get("confirmed") is not True:
            self.withdrawn.set()
