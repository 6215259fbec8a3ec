"""Who is let into a group: both ends prove that they know its secret, and neither sends it.

The secret is random, of one start of the server, and reaches the ranks through the pipe or the ssh session that starts
them. What follows the handshake is neither encrypted nor signed, as little as MLX's own collectives are.
"""

import hashlib
import hmac
import secrets
from typing import Any, Final

from mlx_spec.hosts.channel.framing import Framing

PROTOCOL: Final = 1
LIMIT_S: Final = 5.0
"""Nobody needs as long to answer; a stranger who says nothing is not waited for longer."""
LONGEST_BYTES: Final = 4096


class HandshakeError(Exception):
    """The other end is not of this group, or says nothing sensible."""


def new_secret() -> bytes:
    """A secret that nobody can guess."""
    return secrets.token_bytes(32)


def admit(framing: Framing, secret: bytes, limit_s: float = LIMIT_S) -> int:
    """The leader's side: the rank of who has connected. Raises HandshakeError, OSError."""
    challenge = secrets.token_hex(16)
    framing.send({"protocol": PROTOCOL, "challenge": challenge})
    answer = _received(framing, limit_s)
    rank, theirs = answer.get("rank"), answer.get("challenge")
    if not isinstance(rank, int) or not isinstance(theirs, str):
        raise HandshakeError("it does not say which rank it is")
    if not _is_right(answer.get("proof"), _proof(secret, "follower", rank, challenge, theirs)):
        raise HandshakeError("it does not know the group's secret")
    framing.send({"proof": _proof(secret, "leader", rank, challenge, theirs)})
    return rank


def enter(framing: Framing, secret: bytes, rank: int, limit_s: float) -> None:
    """The follower's side. Raises HandshakeError, OSError."""
    hello = _received(framing, limit_s)
    if hello.get("protocol") != PROTOCOL:
        raise HandshakeError(f"the leader speaks protocol {hello.get('protocol')}, and this Lookahead {PROTOCOL}")
    theirs, challenge = str(hello.get("challenge")), secrets.token_hex(16)
    proof = _proof(secret, "follower", rank, theirs, challenge)
    framing.send({"rank": rank, "challenge": challenge, "proof": proof})
    answer = _received(framing, limit_s)
    if not _is_right(answer.get("proof"), _proof(secret, "leader", rank, theirs, challenge)):
        raise HandshakeError("the leader does not know the group's secret")


def _received(framing: Framing, limit_s: float) -> dict[str, Any]:
    try:
        # Whole: a byte now and then keeps nobody here.
        message = framing.receive(limit_s, whole=True)
    except TimeoutError:
        raise HandshakeError(f"it had nothing to say within {limit_s:g} s") from None
    except ValueError as error:
        raise HandshakeError(str(error)) from error
    if message is None:
        raise HandshakeError("the connection was closed")
    return message


def _proof(secret: bytes, side: str, rank: int, leaders: str, followers: str) -> str:
    # Each side's has its name in it: an answer cannot be sent back as one's own.
    text = f"lookahead {PROTOCOL} {side} {rank} {leaders} {followers}"
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def _is_right(given: Any, wanted: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(), wanted.encode())
