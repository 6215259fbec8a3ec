"""The leader's end of the control channel: lets the followers in, tells them the steps, and notices who is gone."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from mlx_spec.errors import RankLostError, ServerError
from mlx_spec.hosts.channel.framing import MOST_BYTES, Framing, packed
from mlx_spec.hosts.channel.handshake import LONGEST_BYTES, HandshakeError, admit
from mlx_spec.hosts.channel.hello import Hello
from mlx_spec.hosts.channel.link import BEAT, USUAL_PULSE, Link, Pulse
from mlx_spec.hosts.versions import Versions

# What messages hold besides beats. Of the leader: STEP, BYE, MET. Of a follower: SAID, with what it says.
STEP: Final = "step"
BYE: Final = "bye"
MET: Final = "met"
"""All ranks are in the group of their collectives: silence counts again."""
SAID: Final = "said"
HELLO: Final = "hello"
"""What a follower says first."""
FAILED: Final = "failed"
"""What a follower says that cannot go on; with `message`, and `again` where another attempt may go better."""
HERE: Final = "here"
"""What a follower says that could enter the collectives; with `ports`, one for each of its addresses."""
ENTERS: Final = "enters"
"""What a follower says last before its way into the collectives holds all of its threads, beats among them."""
ENTERED: Final = "entered"
"""What it says when it is there."""
_PATIENCE_S: Final = 0.2

logger = logging.getLogger(__name__)


@dataclass
class _Follower:
    host: str
    link: Link | None = None
    hello: Hello | None = None
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    carried: dict[str, Any] = field(default_factory=dict)


class LeaderChannel:
    """Over a listening socket, for the machines `hosts`, the leader's own first. `gather` it once; then `tell`.

    `lost` is set, and who asked by `on_lost` is called, once, when a follower has closed, is silent, or says that it
    cannot go on; from any thread. A channel that has lost a rank tells nothing more.
    """

    def __init__(
        self,
        listener: socket.socket,
        secret: bytes,
        hosts: Sequence[str],
        versions: Versions,
        pulse: Pulse = USUAL_PULSE,
    ) -> None:
        self._listener, self._secret, self._versions, self._pulse = listener, secret, versions, pulse
        self.hosts = tuple(hosts)
        self.address: str | None = None
        """Where the followers reach this machine, as they have come."""
        self.lost: RankLostError | None = None
        self.num_told = 0
        """How many steps were told."""
        self._followers = {rank: _Follower(host) for rank, host in enumerate(hosts) if rank}
        self._changed = threading.Condition()
        self._callbacks: list[Callable[[RankLostError], object]] = []
        self._closed = False

    def gather(self, limit_s: float) -> dict[int, Hello]:
        """Wait until every follower has come, and is like this machine; what each said.

        Raises RankLostError for who has not come in time, ServerError, which names it, for one with other versions.
        """
        until_s = time.monotonic() + limit_s
        while missing := [rank for rank, one in self._followers.items() if one.hello is None]:
            self._raise_if_lost()
            if time.monotonic() > until_s:
                host = self.hosts[missing[0]]
                raise RankLostError(f"{host} (rank {missing[0]}) did not come within {limit_s:g} s.", missing[0], host)
            self.admit_one(_PATIENCE_S)
        self._raise_if_lost()
        hellos = {rank: one.hello for rank, one in self._followers.items() if one.hello is not None}
        for rank, hello in hellos.items():
            host = self.hosts[rank]
            if differences := self._versions.differences(hello.versions, host):
                raise self._refusal(rank, f"{host} (rank {rank}) computes with other versions: {differences}; ")
        self._listener.close()  # all have come: nobody else has a place here
        return hellos

    def admit_one(self, limit_s: float) -> None:
        """Let in who knocks within `limit_s`, if he knows the secret and has a place here."""
        self._listener.settimeout(limit_s)
        with contextlib.suppress(TimeoutError):
            connection, _ = self._listener.accept()
            # A stranger who says nothing holds up nobody.
            threading.Thread(target=self._let_in, args=(connection,), name="handshake", daemon=True).start()

    def said(self, what: str) -> dict[int, dict[str, Any]]:
        """Wait until each follower has said `what`; its words, by rank. They may take as long as they live. Raises
        RankLostError, and ServerError for one that says that it cannot go on."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.lost is not None or all(what in one.said for one in self._followers.values())
            )
            self._raise_if_lost()
            return {rank: one.said[what] for rank, one in self._followers.items()}

    def have_said(self, what: str) -> frozenset[int]:
        """The ranks that have said `what` by now."""
        return frozenset(rank for rank, one in self._followers.items() if what in one.said)

    def met(self) -> None:
        """Wait until each follower has entered the collectives, and tell them all. Raises as `said`."""
        self.said(ENTERED)
        for one in self._followers.values():
            if one.link is not None:
                self._try_to_say(one.link, {MET: True})

    def carried(self, rank: int) -> Mapping[str, Any]:
        """What the newest beat of a follower carried."""
        return self._followers[rank].carried

    def latency_ms(self, rank: int) -> float | None:
        """The last round trip to a follower; None where there was none yet."""
        link = self._followers[rank].link
        return link.latency_ms if link is not None else None

    def tell(self, step: Mapping[str, Any]) -> None:
        """Tell all followers the next step, which JSON can hold, in order. Raises RankLostError."""
        if self.lost is not None:
            raise self.lost
        data = packed({STEP: step})
        self.num_told += 1
        for rank, one in self._followers.items():
            assert one.link is not None, "it was not gathered"
            try:
                one.link.send_bytes(data)
            except OSError as error:
                self.lose(rank, f"takes no more steps ({error})")
        self._raise_if_lost()

    def refuse(self, rank: int, message: str) -> ServerError:
        """Tell a follower why it is not taken, and the error that says so."""
        link = self._followers[rank].link
        if link is not None:
            self._try_to_say(link, {BYE: message})
        return ServerError(message)

    def lose(self, rank: int, why: str) -> RankLostError:
        """A rank is lost, for a reason that goes on after its name; the error that says so, of the first that was."""
        host = self.hosts[rank]
        return self._lose(RankLostError(f"{host} (rank {rank}) {why}: the group has to form again.", rank, host))

    def _lose(self, error: RankLostError) -> RankLostError:
        with self._changed:
            if self.lost is not None or self._closed:
                return self.lost or error
            self.lost = error
            callbacks = list(self._callbacks)
            self._changed.notify_all()
        logger.info(str(error))
        for callback in callbacks:
            callback(error)
        return error

    def on_lost(self, callback: Callable[[RankLostError], object]) -> None:
        """Have it called when a rank is lost; at once where one is."""
        with self._changed:
            self._callbacks.append(callback)
            error = self.lost
        if error is not None:
            callback(error)

    def wait_lost(self, limit_s: float) -> RankLostError | None:
        """The error of a lost rank, once there is one within `limit_s`: who feels that something is wrong may be
        quicker than who finds out what."""
        with self._changed:
            self._changed.wait_for(lambda: self.lost is not None, limit_s)
        return self.lost

    def close(self) -> None:
        """Have all followers end. From any thread, as often as anybody likes."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._listener.close()
        for one in self._followers.values():
            if one.link is not None:
                self._try_to_say(one.link, {BYE: None})
                one.link.close()

    def _raise_if_lost(self) -> None:
        for rank, one in self._followers.items():
            if FAILED in one.said and not one.said[FAILED].get("again"):
                raise ServerError(self._failed_words(rank))
        if self.lost is not None:
            raise self.lost

    def _failed_words(self, rank: int) -> str:
        return f"{self.hosts[rank]} (rank {rank}): {self._followers[rank].said[FAILED].get('message')}"

    def _refusal(self, rank: int, beginning: str) -> ServerError:
        return self.refuse(rank, f"{beginning}install the same on all machines.")

    def _let_in(self, connection: socket.socket) -> None:
        framing = Framing(connection, send_limit_s=self._pulse.silence_s, most_bytes=LONGEST_BYTES)
        try:
            rank = admit(framing, self._secret)
            self._greet(rank, framing)
        except (HandshakeError, OSError) as error:
            logger.warning("Somebody who is not of this group asked to be let in: %s.", error)
            framing.close()

    def _greet(self, rank: int, framing: Framing) -> None:
        follower = self._followers.get(rank)
        with self._changed:
            if self._closed or follower is None or follower.link is not None:
                raise HandshakeError(f"there is no place for rank {rank}")
            framing.most_bytes = MOST_BYTES
            follower.link = Link(
                framing,
                self._pulse,
                heard=partial(self._heard, rank, follower),
                ended=partial(self.lose, rank),
                name=f"rank {rank}",
            )
            self.address = framing.addresses[0]
        follower.link.start()

    def _heard(self, rank: int, follower: _Follower, message: dict[str, Any]) -> None:
        with self._changed:
            if BEAT in message:
                follower.carried = message
            elif isinstance(what := message.get(SAID), str):
                follower.said[what] = message
                assert follower.link is not None, "who speaks was let in"
                if what == HELLO:
                    follower.hello = Hello.from_dict(message)
                elif what == ENTERS:
                    follower.link.suspend()
                elif what == ENTERED:
                    follower.link.resume()
            self._changed.notify_all()
        if message.get(SAID) == FAILED:
            self._lose(RankLostError(self._failed_words(rank), rank, self.hosts[rank]))

    def _try_to_say(self, link: Link, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it finds the end of the connection instead
            link.send(message)
