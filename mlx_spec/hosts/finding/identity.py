"""Who this machine is to others: a key pair that stays in its data folder, and a name for people."""

import hashlib
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nacl.public import PrivateKey

from mlx_spec.errors import StorageError
from mlx_spec.machine.private import make_private, read_private, write_private
from mlx_spec.machine.resources import data_folder

LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """The machine's `name`, and its X25519 key, which never leaves it."""

    name: str
    secret: PrivateKey = field(repr=False)

    @property
    def key(self) -> bytes:
        """The public half, 32 bytes."""
        return bytes(self.secret.public_key)


def hosts_folder() -> Path:
    """Where keys lie, which nobody else may enter. Raises StorageError."""
    folder = data_folder() / "hosts"
    try:
        make_private(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(f"The folder {folder} cannot be made ({reason}): make it writable.") from error
    return folder


def own_identity() -> Identity:
    """This machine's, made the first time. Raises StorageError, also where the kept key is damaged."""
    path = hosts_folder() / "identity.key"
    if not path.exists():
        _keep(path, bytes(PrivateKey.generate()))
    try:
        kept = read_private(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(f"This machine's key {path} cannot be read ({reason}): make it readable.") from error
    if len(kept) != PrivateKey.SIZE:
        raise StorageError(f"This machine's key {path} is damaged: delete it, and join the other machines again.")
    return Identity(shown_name(socket.gethostname().removesuffix(".local")), PrivateKey(kept))


def _keep(path: Path, key: bytes) -> None:
    try:
        write_private(path, key)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(
            f"This machine's key cannot be written to {path} ({reason}): make room there, and make it writable."
        ) from error


def fingerprint(key: bytes) -> str:
    """A public key in 16 letters and digits, to tell machines apart. Nothing is trusted by it alone."""
    return hashlib.blake2b(key, digest_size=8, person=b"lookahead-print").hexdigest()


def shown_name(written: str) -> str:
    """A machine's name as it may be shown: what others wrote can hold no line ends, no controls and no length."""
    kept = "".join(letter if letter.isprintable() else " " for letter in written)
    return " ".join(kept.split())[:LONGEST_NAME] or "unnamed"
