"""An engine on another computer: its address as people write it, and its token in the system's key store."""

from contextlib import suppress
from urllib.parse import urlsplit

import keyring
from keyring.errors import KeyringError

SERVICE = "Lookahead engine"


class AddressError(ValueError):
    """What was written is no address of an engine; the message says what is missing."""


def parse_address(written: str) -> str:
    """`http://HOST:PORT` of what was written; `http://` and a final slash may be left out. Raises AddressError."""
    text = written.strip()
    if not text:
        raise AddressError("Write the engine's address, as in http://big-mac.local:8080.")
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        port = parts.port
    except ValueError:
        raise AddressError(f"The port in “{written.strip()}” is not a number from 1 to 65535.") from None
    if parts.scheme not in ("http", "https"):
        raise AddressError(f"“{parts.scheme}” is not http or https.")
    if not parts.hostname or " " in parts.netloc:
        raise AddressError(f"“{written.strip()}” names no computer.")
    if parts.path.strip("/") or parts.query or parts.username:
        raise AddressError("Only the computer and its port: leave out what follows.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def keep_token(url: str, token: str) -> bool:
    """Keep the token of that engine; False where the system has no key store, and it is asked for again next time."""
    try:
        keyring.set_password(SERVICE, url, token)
    except KeyringError:
        return False
    return True


def read_token(url: str) -> str:
    """The token kept for that engine, empty where there is none."""
    if url:
        with suppress(KeyringError):
            return keyring.get_password(SERVICE, url) or ""
    return ""


def forget_token(url: str) -> None:
    """Keep it no longer."""
    if url:
        with suppress(KeyringError):
            keyring.delete_password(SERVICE, url)
