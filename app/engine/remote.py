"""An engine on another computer: its address as people write it, and its token in the system's key store.

The key store is imported late: that takes a tenth of the window's start, and most people have their engine here.
"""

from contextlib import suppress
from urllib.parse import urlsplit

from PySide6.QtCore import QCoreApplication

translate = QCoreApplication.translate

SERVICE = "Lookahead engine"


class AddressError(ValueError):
    """What was written is no address of an engine; the message says what is missing."""


def parse_address(written: str) -> str:
    """`http://HOST:PORT` of what was written; `http://` and a final slash may be left out. Raises AddressError."""
    text = written.strip()
    if not text:
        raise AddressError(translate("Address", "Write the engine's address, as in http://big-mac.local:8080."))
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        port = parts.port
    except ValueError:
        wrong = translate("Address", "The port in “{}” is not a number from 1 to 65535.")
        raise AddressError(wrong.format(text)) from None
    if parts.scheme not in ("http", "https"):
        raise AddressError(translate("Address", "“{}” is not http or https.").format(parts.scheme))
    if not parts.hostname or " " in parts.netloc:
        raise AddressError(translate("Address", "“{}” names no computer.").format(text))
    if parts.path.strip("/") or parts.query or parts.username:
        raise AddressError(translate("Address", "Only the computer and its port: leave out what follows."))
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def keep_token(url: str, token: str) -> bool:
    """Keep the token of that engine; False where the system has no key store, and it is asked for again next time."""
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(SERVICE, url, token)
    except KeyringError:
        return False
    return True


def read_token(url: str) -> str:
    """The token kept for that engine, empty where there is none."""
    if url:
        import keyring
        from keyring.errors import KeyringError

        with suppress(KeyringError):
            return keyring.get_password(SERVICE, url) or ""
    return ""


def forget_token(url: str) -> None:
    """Keep it no longer."""
    if url:
        import keyring
        from keyring.errors import KeyringError

        with suppress(KeyringError):
            keyring.delete_password(SERVICE, url)
