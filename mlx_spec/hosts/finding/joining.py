"""The side that wants to lead: it asks a machine that offers itself, compares the code, and finds it again later."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.finding.acquaintances import Acquaintance, Acquaintances
from mlx_spec.hosts.finding.announcing import FoundHost, Lookout
from mlx_spec.hosts.finding.identity import Identity, own_identity
from mlx_spec.hosts.finding.sealed import ChannelError, SecureChannel, connect

PORT: Final = 8764
"""Where a machine that offers itself listens, unless it is told another port."""
PATIENCE_S: Final = 180.0
"""So long either side may take to compare a code."""
SEEK_S: Final = 3.0


class RefusedError(LookaheadError):
    """Somebody said no, at this machine or at the other one."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine that offers itself may be asked."""

    name: str
    address: str
    port: int


def join(
    place: Place,
    is_same_code: Callable[[str, str], bool],
    *,
    identity: Identity | None = None,
    known: Acquaintances | None = None,
) -> Acquaintance:
    """Ask to use the machine at `place`. `is_same_code(name, code)` asks a person whether it shows that very code.

    Both sides then know each other. Raises RefusedError where either person says no, ChannelError, GreetingError.
    """
    known = known or Acquaintances()
    with connect(place.address, place.port, identity or own_identity(), "pair") as channel:
        session = channel.session
        channel.tell({"ask": "pair"})
        if (refused := channel.hear(PATIENCE_S).get("refused")) is not None:
            raise RefusedError(str(refused))
        agreed = is_same_code(session.name, session.code)
        channel.tell({"confirmed": agreed})
        if not agreed:
            raise RefusedError(
                f"{session.name} was not joined. Where the codes differ, somebody may stand between the two machines:"
                " try again over a cable."
            )
        if channel.hear(PATIENCE_S).get("confirmed") is not True:
            raise RefusedError(f"Somebody at {session.name} said no: ask there, and try again.")
        one = Acquaintance(session.key.hex(), session.name, "follower", channel.address, place.port, time.time())
        known.keep(one)
        # Only now may the other side keep this one's key, so that neither knows the other alone.
        channel.tell({"kept": True})
        return one


def call(
    one: Acquaintance, *, identity: Identity | None = None, known: Acquaintances | None = None, seek_s: float = SEEK_S
) -> SecureChannel:
    """A connection to a machine that was joined: where it was met last, else where Bonjour finds it within `seek_s`.
    Raises ChannelError where it is not there, RefusedError where it does not know this machine any more."""
    identity = identity or own_identity()
    try:
        return _as_known(connect(one.address, one.port, identity, "work"), one)
    except ChannelError as error:
        first = error
    # The network may give machines other addresses every day; the key stays.
    if (found := _found(one, seek_s)) is not None:
        for address in found.addresses:
            with contextlib.suppress(ChannelError):
                channel = _as_known(connect(address, found.port, identity, "work"), one)
                (known or Acquaintances()).met(one, address, found.port)
                return channel
    raise first


def _found(one: Acquaintance, seek_s: float) -> FoundHost | None:
    """Where it offers itself now; None too where there is no network."""
    if seek_s <= 0:
        return None
    with contextlib.suppress(LookaheadError), Lookout() as lookout:
        return lookout.wait_for(lambda host: host.fingerprint == one.fingerprint, seek_s)
    return None


def _as_known(channel: SecureChannel, one: Acquaintance) -> SecureChannel:
    """The same channel, where it is that machine's and the machine agrees to talk."""
    if channel.session.key.hex() != one.key:
        channel.close()
        raise ChannelError(
            f"Another machine than {one.name} answers at {one.address}: run `mlx-spec hosts join` again."
        )
    try:
        channel.tell({"ask": "work"})
        refused = channel.hear(10.0).get("refused")
    except ChannelError:
        channel.close()
        raise
    if refused is not None:
        channel.close()
        raise RefusedError(str(refused))
    return channel
