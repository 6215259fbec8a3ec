"""The text of an e-mail: who wrote what to whom, and what it says."""

import re
from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import EmailMessage
from typing import Final

from prompt_files.encoding import decode
from prompt_files.web_page import page_text

_SHOWN: Final = ("From", "To", "Cc", "Date", "Subject")
# A note may begin with "From:" and "Subject:" too; these only a mail program writes.
_HEADER: Final = re.compile(rb"\A(?:[A-Za-z][A-Za-z0-9-]*:[ \t][^\n]*\n(?:[ \t][^\n]*\n)*){3,}\r?\n")
_MACHINE_MADE: Final = re.compile(rb"^(?:mime-version|message-id|received):", re.I | re.M)
_WRITTEN: Final = re.compile(rb"^from:", re.I | re.M)
_APPLE: Final = re.compile(rb"(\d{1,10})[ \t]*\r?\n")


def is_mail(data: bytes) -> bool:
    """Whether the bytes begin with the headers of an e-mail."""
    found = _HEADER.match(data[: 64 * 1024])
    return found is not None and all(kind.search(found[0]) for kind in (_MACHINE_MADE, _WRITTEN))


def mail_text(data: bytes) -> str | None:
    """Headers for people, the body (its plain form where there are several), and the names of what is attached.

    None where it is too broken to be taken apart.
    """
    try:
        return _text(data)
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError, MessageError):
        return None  # the parser of headers lets its own errors through


def _text(data: bytes) -> str:
    if found := _APPLE.match(data):  # Apple Mail's .emlx: the length, the message, and a property list
        data = data[found.end() : found.end() + int(found[1])]
    message = message_from_bytes(data, policy=policy.default)
    lines = [f"{name}: {_one_line(message[name])}" for name in _SHOWN if message[name]]
    bodies, attached = [], []
    for part in _parts(message):
        name = part.get_filename()
        if name or part.get_content_disposition() == "attachment":
            attached.append(_one_line(name or part.get_content_type()))
        elif part.get_content_maintype() == "text":
            bodies.append(_body(part).strip("\n"))
    if attached:
        lines.append(f"Attached, not read: {', '.join(attached)}")
    return "\n\n".join(["\n".join(lines), *bodies]).strip() + "\n"


def _parts(message: EmailMessage) -> list[EmailMessage]:
    """What is to be shown one after the other: of alternatives the plain one, of a forwarded message its parts."""
    if not message.is_multipart():
        return [message]
    parts = [part for part in message.iter_parts() if isinstance(part, EmailMessage)]
    if message.get_content_type() == "multipart/alternative":
        plain = [part for part in parts if part.get_content_type() == "text/plain"]
        parts = plain[:1] or parts[-1:]
    return [inner for part in parts for inner in _parts(part)]


def _body(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    try:
        text = data.decode(part.get_content_charset() or "utf-8")
    except (LookupError, ValueError):  # senders do name sets that there are none of, or the wrong one
        found = decode(data)
        text = found.text if found is not None else data.decode("latin-1")
    text = text.replace("\r\n", "\n")
    return page_text(text) if part.get_content_subtype() == "html" else text


def _one_line(value: object) -> str:
    return " ".join(str(value).split())
