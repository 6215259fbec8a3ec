"""The signed feed of newer versions: a JSON object, `{"payload": TEXT, "signature": BASE64}`. Knows no Qt, no network.

The payload is JSON too, as a text, so that what was signed is these bytes and no other spelling of them. The signature
is Ed25519's over `CONTEXT` and the payload: a signature that the same key gave to something else is none here.
"""

import base64
import binascii
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from packaging.version import InvalidVersion, Version

CONTEXT = b"lookahead-updates-1\n"
MOST_BYTES = 64_000
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class FeedError(Exception):
    """The feed is damaged, or nobody whom this copy trusts has signed it. The message is for a log."""


@dataclass(frozen=True, slots=True)
class Release:
    """A version, what is new in it as markdown, and the page to download it from."""

    version: str
    notes: str
    page: str
    published: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the feed is, and the 32 bytes of the key that it is checked with."""

    address: str
    public_key: bytes


def read_source(resources: Path | None) -> Source | None:
    """What `updates.toml` in the resources names; None where it names none, or nothing that could be trusted."""
    try:
        table = tomllib.loads((resources / "updates.toml").read_text(encoding="utf-8")) if resources else {}
        source = Source(str(table["feed"]), base64.b64decode(str(table["public_key"]), validate=True))
    except (OSError, KeyError, tomllib.TOMLDecodeError, binascii.Error, ValueError):
        return None
    return source if is_safe(source.address) and len(source.public_key) == 32 else None


def read_feed(data: bytes, public_key: bytes) -> Release:
    """The release that a feed announces. Raises FeedError where its signature is not `public_key`'s."""
    # Imported late: most starts look for no version.
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey

    if len(data) > MOST_BYTES:
        raise FeedError(f"The feed has more than {MOST_BYTES:,} bytes.")
    try:
        outer = json.loads(data)
        payload = outer["payload"].encode()
        signature = base64.b64decode(outer["signature"], validate=True)
        VerifyKey(public_key).verify(CONTEXT + payload, signature)
    except BadSignatureError as error:
        raise FeedError("The feed is not signed with the key that this copy knows.") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FeedError(f"The feed is damaged: {error!r}.") from error
    return _release(payload)


def envelope(payload: str, signature: bytes) -> str:
    """The feed as it is published: what `packaging/feed.py` writes and `read_feed` reads."""
    feed = {"payload": payload, "signature": base64.b64encode(signature).decode()}
    return json.dumps(feed, ensure_ascii=False) + "\n"


def is_newer(version: str, current: str) -> bool:
    """Whether `version` comes after `current`; of what is no version nothing can be said, so it does not. A version
    before its release (`0.3.0rc1`) is nobody's update who has a release."""
    try:
        offered, mine = Version(version), Version(current)
    except InvalidVersion:
        return False
    return offered > mine and (mine.is_prerelease or not offered.is_prerelease)


def is_safe(address: str) -> bool:
    """Whether nobody between can change what comes from there: HTTPS, or this very machine."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )


def _release(payload: bytes) -> Release:
    """What was signed is believed, but for an address that a browser should not open."""
    try:
        told = json.loads(payload)
        release = Release(
            str(told["version"]), str(told.get("notes") or ""), str(told["page"]), str(told.get("published") or "")
        )
        Version(release.version)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FeedError(f"The feed is signed, but damaged: {error!r}.") from error
    if not is_safe(release.page):
        raise FeedError(f"The feed is signed, but its page is no HTTPS address: {release.page}")
    return release
