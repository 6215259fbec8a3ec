"""A text that is kept on disk, as one small file: the chain of its blocks, who owns it and when it was last of use.

Two lines, a digest and a JSON object. No file or name holds a word of the text.
"""

import json
from dataclasses import dataclass

from mlx_spec.decoding.cache.blocks.stored import KEY_BYTES, digest_of

SUFFIX = ".text"


@dataclass(frozen=True, slots=True)
class KeptText:
    """`keys` are those of its blocks, from the first. `owner` is the id of the chat that it belongs to, None where it
    belongs to nobody. `used_s` is when it was read or asked for last, in seconds since 1970: in the file, so that
    whatever copies a folder keeps it."""

    keys: tuple[bytes, ...]
    owner: str | None
    used_s: float

    def name(self, identity: str) -> str:
        """The file's name: one for the same text of the same owner."""
        owner = b"" if self.owner is None else b"." + self.owner.encode("utf-8", "surrogatepass")
        return digest_of(identity.encode(), owner, b"".join(self.keys)) + SUFFIX

    def begins(self, keys: tuple[bytes, ...]) -> bool:
        """Whether `keys` go on from all of it, or are its own."""
        return keys[: len(self.keys)] == self.keys


def written(text: KeptText, identity: str) -> bytes:
    """What its file holds."""
    body = json.dumps({"owner": text.owner, "used_s": text.used_s, "keys": b"".join(text.keys).hex()}).encode()
    return digest_of(identity.encode(), body).encode() + b"\n" + body


def read(data: bytes, identity: str) -> KeptText:
    """The text in a file's bytes. Raises ValueError where they are not those that were written."""
    digest, _, body = data.partition(b"\n")
    if digest_of(identity.encode(), body).encode() != digest:
        raise ValueError("its bytes are not those that were written")
    try:
        kept = json.loads(body)
        keys, owner, used_s = bytes.fromhex(kept["keys"]), kept["owner"], float(kept["used_s"])
    except (LookupError, TypeError) as error:
        raise ValueError(f"it cannot be read ({error})") from error
    if not keys or len(keys) % KEY_BYTES or not isinstance(owner, str | None):
        raise ValueError("it is no chain of blocks")
    return KeptText(tuple(keys[i : i + KEY_BYTES] for i in range(0, len(keys), KEY_BYTES)), owner, used_s)
