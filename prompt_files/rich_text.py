"""Files that hold more than their text (RTF, HTML, e-mail, notebooks), as their text."""

import re
from pathlib import Path
from typing import Final

from prompt_files.encoding import Decoded, decode
from prompt_files.mail import is_mail, mail_text
from prompt_files.notebook import notebook_text
from prompt_files.web_page import is_page, page_text

_RTF: Final = b"{\\rtf"
_HEX: Final = re.compile(rb"[0-9a-fA-F\r\n]{256,}")
_PAGES: Final = (".html", ".htm", ".xhtml")
_MAILS: Final = (".eml", ".emlx")
# In Markdown HTML is part of the text, and in a template the tags are what it is about.
_SOURCES: Final = (".md", ".markdown")
_TEMPLATE: Final = re.compile(r"<\?php|<\?=|<%|\{%|\{\{")


def rich_text(data: bytes, path: Path) -> Decoded | None:
    """The text, with the name of the kind for an encoding; None where it is no such file, or has no text as one.

    Contents decide; a name only where contents cannot: a page's part has no opening, and a mail may lack headers.
    """
    ending = path.suffix.lower()
    if data.lstrip()[: len(_RTF)] == _RTF:
        return _told(_rtf_text(data), "rtf")
    if ending in _MAILS or is_mail(data):
        return _told(mail_text(data), "eml")
    if data.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:1] not in (b"<", b"{") and ending not in _PAGES:
        return None
    found = decode(data)
    if found is None:
        return None
    if (text := notebook_text(found.text)) is not None:
        return _told(text, "ipynb")
    is_source = ending in _SOURCES or _TEMPLATE.search(found.text) is not None
    if not is_source and (ending in _PAGES or is_page(found.text)):
        return _told(page_text(found.text), "html", found.num_damaged)
    return None


def _told(text: str | None, kind: str, num_damaged: int = 0) -> Decoded | None:
    return Decoded(text, kind, num_damaged) if text and text.strip() else None


def _rtf_text(data: bytes) -> str:
    """The text of an RTF file, "" where it is damaged."""
    from striprtf.striprtf import rtf_to_text

    # RTF is ASCII: other characters are written out, and pictures are, which can be nearly all of it.
    source = _HEX.sub(b"", data).decode("latin-1")
    try:
        text: str = rtf_to_text(source, errors="replace")
    except (ValueError, TypeError, LookupError, OverflowError):  # numbers that are no character and no code page
        return ""
    # Characters outside the first plane are written as the two halves of UTF-16.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("|\n", "\n")  # a cell's mark stands before the end of its row too
