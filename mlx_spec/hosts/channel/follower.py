"""A follower's end of the control channel: the steps to repeat, and the leader's end, which is its own."""

import contextlib
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mlx_spec.errors import LookaheadError, RankLostError, ServerError
from mlx_spec.hosts.channel.framing import Framing
from mlx_spec.hosts.channel.handshake import HandshakeError, enter
from mlx_spec.hosts.channel.hello import Hello
from mlx_spec.hosts.channel.leader import BYE, ENTERED, ENTERS, FAILED, HELLO, MET, SAID, STEP
from mlx_spec.hosts.channel.link import USUAL_PULSE, Link, Pulse

LEFT_CODE: Final = 75
"""The exit code of a process that was left where nothing could interrupt it (EX_TEMPFAIL)."""
_AGAIN_S: Final = 0.2
_ADMITTED_S: Final = 600.0
"""The leader's process may have to import for so long until it answers: its socket is there before it."""


class FollowerChannel:
    """The steps of one leader. `connect` makes it.

    The leader's end is the follower's: `next` returns None then, and where nobody has asked for it within `grace_s`,
    because a collective hangs, `leave` ends the process from a thread.
    """

    def __init__(
        self,
        framing: Framing,
        rank: int,
        pulse: Pulse = USUAL_PULSE,
        *,
        grace_s: float = 1.0,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self.rank = rank
        self.refusal: str | None = None
        """Why the leader did not take it, if so."""
        self.facts: dict[str, Any] = {}
        """What each beat carries, for people: `held_bytes`, `progress`."""
        self._num_taken = 0
        self._grace_s, self._leave = grace_s, leave
        # A SimpleQueue: its put never waits, so that the thread that hears of the leader's end is never held up.
        self._steps: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._over = threading.Event()
        self._is_ending = False
        self._address = framing.addresses[0]
        self._link = Link(framing, pulse, heard=self._heard, ended=self._end, carried=self._carried, name="leader")

    @classmethod
    def connect(
        cls,
        address: tuple[str, int],
        secret: bytes,
        rank: int,
        hello: Callable[[str], Hello],
        pulse: Pulse = USUAL_PULSE,
        *,
        limit_s: float = 30.0,
        **options: Any,
    ) -> "FollowerChannel":
        """Connect to the leader, prove to be of its group, and say hello with what `hello` makes of the address by
        which this machine reaches it. Raises RankLostError where nobody listens there, or somebody else, and what
        `hello` raises."""
        framing = Framing(_connected(address, limit_s), send_limit_s=pulse.silence_s)
        try:
            enter(framing, secret, rank, _ADMITTED_S)
        except (HandshakeError, OSError) as error:
            framing.close()
            raise RankLostError(
                f"The leader at {address[0]} does not let rank {rank} in: {error}.", 0, address[0]
            ) from None
        channel = cls(framing, rank, pulse, **options)
        channel._link.start()
        try:
            channel.say(HELLO, **hello(framing.addresses[0]).to_dict())
        except LookaheadError as error:
            channel.fail(str(error))
            raise
        return channel

    @property
    def address(self) -> str:
        """By which this machine reaches the leader."""
        return self._address

    def say(self, what: str, **words: Any) -> None:
        """Tell the leader something. Where it is gone, `next` tells."""
        with contextlib.suppress(OSError):
            self._link.send({**words, SAID: what})

    def fail(self, message: str, *, again: bool = False) -> None:
        """Tell the leader, in a sentence, why this rank cannot go on; `again`: another attempt may go better."""
        self.say(FAILED, message=message, again=again)

    @contextlib.contextmanager
    def entering(self) -> Iterator[None]:
        """Around the way into the collectives, which may hold all threads, here and at the leader: neither minds the
        other's silence until the leader says that all are there."""
        self._link.suspend()
        self.say(ENTERS)
        yield
        self.say(ENTERED)

    def next(self) -> dict[str, Any] | None:
        """The next step; waits for it. None when the leader has closed or is gone. Raises ServerError where it does
        not take this rank."""
        step = self._steps.get()
        if step is not None:
            self._num_taken += 1
            return step
        self._over.set()
        self._steps.put(None)  # whoever asks again hears the same
        if self.refusal is not None:
            raise ServerError(self.refusal)
        return None

    def close(self) -> None:
        """Leave the group."""
        self._over.set()
        self._link.close()

    def _carried(self) -> Mapping[str, Any]:
        return {**self.facts, "taken": self._num_taken}

    def _heard(self, message: dict[str, Any]) -> None:
        if (step := message.get(STEP)) is not None:
            self._steps.put(step)
        elif BYE in message:
            self.refusal = message[BYE]
            self._end("closed")
        elif MET in message:
            self._link.resume()

    def _end(self, why: str) -> None:
        if self._is_ending:  # the leader said so before it closed
            return
        self._is_ending = True
        self._steps.put(None)
        # A thread of its own: who hears goes on to hear, and this one waits.
        threading.Thread(target=self._leave_if_held, name="leaving", daemon=True).start()

    def _leave_if_held(self) -> None:
        if not self._over.wait(self._grace_s):
            self._leave(LEFT_CODE)


def _connected(address: tuple[str, int], limit_s: float) -> socket.socket:
    until_s = time.monotonic() + limit_s
    while True:
        try:
            return socket.create_connection(address, timeout=max(0.1, until_s - time.monotonic()))
        except OSError as error:
            if time.monotonic() > until_s:
                raise RankLostError(
                    f"The leader at {address[0]}:{address[1]} cannot be reached: {error}.", 0, address[0]
                ) from None
            time.sleep(_AGAIN_S)
