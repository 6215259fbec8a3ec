"""Bytes to text, by content: what the bytes say counts, not the file's name."""

import codecs
import re
from typing import Final

from charset_normalizer import from_bytes

_MARKS: Final = (  # UTF-32 first: its little-endian mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Escape is text's too: terminal logs have colours, ISO-2022 has its shifts.
_CONTROL: Final = re.compile(r"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
_CONTROL_SHARE: Final = 0.002
_ZERO_SHARE: Final = 0.3
_JAPANESE_SHIFTS: Final = (b"\x1b$B", b"\x1b$@")
_WESTERN: Final = frozenset(
    "àáâãäåæçèéêëìíîïñòóôõöøùúûüýÿœßÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝŸŒ" + "“”‘’„‚–—…•·«»‹›¡¿§©®™°²³½¼¾×±€£¥¢ªº\xa0\xad"
)
_WESTERN_SHARE: Final = 0.3
# ³, ¿ and ª inside a word are letters of another code page.
_BROKEN_WORD: Final = re.compile(r"[a-zA-Z][³²¿¼½¾ªº°£¥][a-zA-Z]")
_EASTERN_LANGUAGES: Final = frozenset({"Czech", "Slovak", "Polish", "Hungarian", "Slovene", "Croatian", "Romanian"})
_EASTERN_CODE_PAGES: Final = frozenset({"cp1250", "iso8859_2"})


def decode(data: bytes) -> tuple[str, str] | None:
    """The text of `data` and the name of its encoding, or None where it is not text.

    A byte order mark decides first, then strict UTF-8; charset-normalizer judges what is left. A short text in a
    single-byte code page is a guess, which is why the encoding is told.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _as_text(data, encoding)
    if b"\0" in data:
        return _as_utf16(data)
    if any(shift in data for shift in _JAPANESE_SHIFTS) and (found := _as_text(data, "iso2022_jp")) is not None:
        return found  # its bytes are all ASCII, so it has to go before UTF-8
    if (found := _as_text(data, "utf-8") or _as_western(data)) is not None:
        return found
    guess = from_bytes(data).best()
    return _as_text(data, guess.encoding) if guess is not None else None


def _as_text(data: bytes, encoding: str) -> tuple[str, str] | None:
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None
    num_controls = len(_CONTROL.findall(text))
    is_binary = "\0" in text or num_controls > len(text) * _CONTROL_SHARE
    return None if is_binary else (text, encoding)


def _as_utf16(data: bytes) -> tuple[str, str] | None:
    """UTF-16 without a mark, where zeros stand in many of the even or of the odd places; else it is binary."""
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        places = data[start::2]
        if places.count(0) > len(places) * _ZERO_SHARE:
            return _as_text(data, encoding)
    return None


def _as_western(data: bytes) -> tuple[str, str] | None:
    """Text in Windows-1252, of which Latin-1 is a part, where nothing speaks against it.

    charset-normalizer takes short French for Baltic and curly quotes for Cyrillic: it weighs all code pages alike,
    and this one is by far the likeliest where every character has a place in a Western text.
    """
    found = _as_text(data, "cp1252")
    if found is None or _BROKEN_WORD.search(found[0]):
        return None
    letters = [character for character in found[0] if character.isalpha()]
    num_foreign = sum(character > "\x7f" for character in letters)
    is_western = _WESTERN.issuperset(character for character in found[0] if character > "\x7f")
    if not is_western or num_foreign > max(2, len(letters) * _WESTERN_SHARE):
        return None
    guess = from_bytes(data).best()
    if guess and guess.encoding in _EASTERN_CODE_PAGES and guess.language in _EASTERN_LANGUAGES:
        return None
    return found
