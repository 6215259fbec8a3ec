"""Two machines agree on keys, and on a code that is the same on both screens exactly when nobody stands between them.

Three messages: the initiator's keys with a commitment to its nonce, the responder's keys and nonce, the initiator's
nonce. Keys of the session come of three Diffie-Hellman exchanges (both ephemeral keys, and each ephemeral key with the
other side's own), so that either side has proved its own key by the first words that the other can read. The code is a
short authentication string over all three messages (Vaudenay 2005): whoever stands between them has to fix each side's
nonce before it can know the other's, so six digits agree by chance, once in a million, and cannot be searched for.

Values only: knows no socket, no clock and no terminal.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from nacl.bindings import crypto_scalarmult
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.finding.identity import Identity, shown_name

VERSION: Final = 1
CODE_DIGITS: Final = 6
Purpose = Literal["pair", "work"]
"""Becoming known to each other, or what those who are do together."""


class GreetingError(LookaheadError):
    """The other side spoke out of turn, or another version of this protocol."""


@dataclass(frozen=True, slots=True)
class Session:
    """What both sides know then: the other's `key` and `name`, keys each way, and the `code` of six digits."""

    purpose: Purpose
    key: bytes
    name: str
    code: str
    sending: bytes = field(repr=False)
    receiving: bytes = field(repr=False)


class Initiator:
    """The side that connects: `hello`, then `open_with` the reply, and both know the session."""

    def __init__(self, identity: Identity, purpose: Purpose) -> None:
        self._identity, self._purpose = identity, purpose
        self._ephemeral, self._nonce = PrivateKey.generate(), secrets.token_bytes(32)
        said = _keys(identity, self._ephemeral) | {"purpose": purpose, "commitment": _commitment(self._nonce).hex()}
        self.hello = _written(said)

    def open_with(self, reply: bytes) -> tuple[bytes, Session]:
        """The third message, and the session. Raises GreetingError."""
        theirs = _Said.read(reply)
        theirs.taken("nonce")
        opening = _written({"nonce": self._nonce.hex()})
        shared = (
            _agree(self._ephemeral, theirs.ephemeral),
            _agree(self._ephemeral, theirs.key),
            _agree(self._identity.secret, theirs.ephemeral),
        )
        out, back, code = _derived(shared, (self.hello, reply, opening))
        return opening, Session(self._purpose, theirs.key, theirs.name, code, out, back)


class Responder:
    """The side that is connected to: a `reply` to the hello, then `finish` with the opening."""

    def __init__(self, identity: Identity, hello: bytes) -> None:
        self._identity, self._hello = identity, hello
        self._theirs = _Said.read(hello)
        purpose = self._theirs.values.get("purpose")
        if purpose not in ("pair", "work"):
            raise GreetingError(f"The other machine wants {purpose!r}, which this Lookahead does not know: update it.")
        self._purpose: Purpose = purpose
        self._commitment = self._theirs.taken("commitment")
        self._ephemeral = PrivateKey.generate()
        self.reply = _written(_keys(identity, self._ephemeral) | {"nonce": secrets.token_hex(32)})

    def finish(self, opening: bytes) -> Session:
        """The session. Raises GreetingError, also where the opening is not what was committed to."""
        theirs = self._theirs
        if not secrets.compare_digest(_commitment(_bytes_of(_read(opening), "nonce")), self._commitment):
            raise GreetingError("The other machine changed its mind within the greeting: somebody may be in between.")
        shared = (
            _agree(self._ephemeral, theirs.ephemeral),
            _agree(self._identity.secret, theirs.ephemeral),
            _agree(self._ephemeral, theirs.key),
        )
        back, out, code = _derived(shared, (self._hello, self.reply, opening))
        return Session(self._purpose, theirs.key, theirs.name, code, out, back)


@dataclass(frozen=True, slots=True)
class _Said:
    """What the other side says of itself in its first message."""

    values: dict[str, Any]
    key: bytes
    ephemeral: bytes
    name: str

    @classmethod
    def read(cls, message: bytes) -> "_Said":
        values = _read(message)
        if (version := values.get("lookahead")) != VERSION:
            raise GreetingError(
                f"The other machine greets with version {version!r} and this one with {VERSION}: update the older."
            )
        return cls(
            values, _bytes_of(values, "key"), _bytes_of(values, "ephemeral"), shown_name(str(values.get("name")))
        )

    def taken(self, name: str) -> bytes:
        """A value of 32 bytes."""
        return _bytes_of(self.values, name)


def _keys(identity: Identity, ephemeral: PrivateKey) -> dict[str, Any]:
    own = {"key": identity.key.hex(), "ephemeral": bytes(ephemeral.public_key).hex()}
    return {"lookahead": VERSION, "name": identity.name} | own


def _agree(ours: PrivateKey, theirs: bytes) -> bytes:
    try:
        return crypto_scalarmult(bytes(ours), theirs)
    except (CryptoError, ValueError, RuntimeError) as error:  # a key of small order, which leads to no secret
        raise GreetingError("The other machine sent a key that is none: it cannot be talked to.") from error


def _derived(shared: tuple[bytes, ...], messages: tuple[bytes, ...]) -> tuple[bytes, bytes, str]:
    """The initiator's key, the responder's, and the code."""
    transcript = hashlib.blake2b(digest_size=32, person=b"lookahead-hello")
    for message in messages:
        transcript.update(len(message).to_bytes(4, "big") + message)
    heard = transcript.digest()
    keys = hashlib.blake2b(b"".join(shared), digest_size=64, key=heard, person=b"lookahead-keys").digest()
    number = hashlib.blake2b(heard, digest_size=16, person=b"lookahead-code").digest()
    return keys[:32], keys[32:], f"{int.from_bytes(number, 'big') % 10**CODE_DIGITS:0{CODE_DIGITS}d}"


def _commitment(nonce: bytes) -> bytes:
    return hashlib.blake2b(nonce, digest_size=32, person=b"lookahead-commit").digest()


def _written(values: dict[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True).encode()


def _read(message: bytes) -> dict[str, Any]:
    try:
        values = json.loads(message)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise GreetingError("What answers there is no Lookahead that offers itself: look at the address.")
    return values


def _bytes_of(values: dict[str, Any], name: str) -> bytes:
    try:
        taken = bytes.fromhex(values[name])
    except (KeyError, TypeError, ValueError):
        taken = b""
    if len(taken) != 32:
        raise GreetingError(f"The other machine's greeting lacks its {name}: update the older of the two.")
    return taken
