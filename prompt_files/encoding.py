"""Bytes to text, by content: what the bytes say counts, not the file's name."""

import codecs
import re
from dataclasses import dataclass
from typing import Final
from unicodedata import category

from prompt_files.code_page import likeliest

_MARKS: Final = (  # UTF-32 first: its little-endian mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_NO_MATCH: Final = 0.1  # chardet's confidence in what it answers where nothing fits
_DOS_END: Final = "\x1a"
# Escape is text's too: terminal logs have colours, ISO-2022 has its shifts; a bell ends a terminal's title.
_CONTROL: Final = re.compile(r"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
_CONTROL_SHARE: Final = 0.002
_ZERO_SHARE: Final = 0.3
_RAW_CONTROL: Final = re.compile(rb"[\x01-\x06\x0e-\x1a\x1c-\x1f]")
_JAPANESE_SHIFTS: Final = (b"\x1b$B", b"\x1b$@")
_REPLACEMENT: Final = "\ufffd"
_DAMAGED: Final = re.compile(f"{_REPLACEMENT}{{1,3}}")  # what is left of one character
# One place in so many characters may be damaged where the rest leaves no doubt.
_DAMAGED_SHARE: Final = 0.02
# A file's own word for its encoding: HTML, XML, and Python's and Emacs' first lines.
_DECLARED: Final = re.compile(
    rb"""\A\s*<[^\0]{0,1000}?(?:charset|encoding)\s*=\s*["']?([\w.:-]+)"""
    rb"""|\A(?:[^\n]*\n)?[^\n]*?coding[:=][ \t]*([\w.-]+)"""
)
_CHARSET: Final = re.compile("ascii|iso|cp|koi8|mac|gb|big5|euc|shift|johab|tis|kz|hz")  # codecs do more than texts
_BROADER: Final = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
}
# What UTF-16 without a mark and without zeros holds: Chinese, Japanese, Korean and their punctuation.
_EASTERN: Final = re.compile("[\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff60\u2010-\u2026\\s!-~]")
_EASTERN_SHARE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, the name of its encoding, and in how many places bytes had no meaning in it: U+FFFD stands there."""

    text: str
    encoding: str
    num_damaged: int = 0


def decode(data: bytes) -> Decoded | None:
    """The text of `data`, or None where it is not text.

    A byte order mark decides first, then UTF-8, which hardly another text looks like, then what the file says of
    itself; chardet judges what is left. A short text in a code page is a guess, which is why the encoding is told.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _as_text(data, encoding)
    if b"\0" in data:
        return _as_wide(data)
    if any(shift in data for shift in _JAPANESE_SHIFTS) and (found := _as_text(data, "iso2022_jp", 0)) is not None:
        return found  # its bytes are all ASCII, so it has to go before UTF-8
    if _is_utf8(data):
        return _as_text(data, "utf-8", len(data))
    return _as_declared(data) or _as_code_page(data) or _as_wide(data)


def _as_text(data: bytes, encoding: str, num_allowed: int | None = None) -> Decoded | None:
    """`data` in `encoding`, None where it is not text in it. A few damaged places are left as they are."""
    try:
        text = data.decode(encoding, "replace")
    except (LookupError, ValueError):
        return None
    text = text.rstrip(_DOS_END)  # ended files on CP/M and DOS, and fills their last block
    num_damaged = text.count(_REPLACEMENT)
    if num_damaged and encoding.startswith("utf-8"):  # which can hold the sign itself
        num_damaged -= data.count(_REPLACEMENT.encode())
    allowed = max(1, int(len(text) * _DAMAGED_SHARE)) if num_allowed is None else num_allowed
    is_binary = "\0" in text or len(_CONTROL.findall(text)) > len(text) * _CONTROL_SHARE
    if is_binary or num_damaged > allowed or num_damaged >= max(1, len(text)):
        return None
    return Decoded(text, encoding, num_damaged)


def _is_utf8(data: bytes) -> bool:
    """Whether the characters outside ASCII are UTF-8's, apart from damaged places that are fewer by far.

    Other encodings do bring forth a sequence that is valid in UTF-8, but not most of the time.
    """
    try:
        data.decode("utf-8")
        return True
    except UnicodeDecodeError as error:
        if error.end == len(data) > error.start + 1 and error.reason == "unexpected end of data":
            return True  # the only fault: its last character is cut, and has more than one byte left
    text = data.decode("utf-8", "replace")
    num_signs = data.count(_REPLACEMENT.encode())  # that were there before
    num_damaged = len(_DAMAGED.findall(text)) - num_signs
    num_whole = len(text) - len(text.encode("ascii", "ignore")) - text.count(_REPLACEMENT) + num_signs
    return num_whole >= 2 * num_damaged


def _as_declared(data: bytes) -> Decoded | None:
    found = _DECLARED.match(data[:2048])
    try:
        name = codecs.lookup((found[1] or found[2]).decode("ascii")).name if found else ""
    except (LookupError, ValueError):
        return None
    # Browsers and editors mean the larger of two related code pages, and so do those who write the name.
    return _as_text(data, _BROADER.get(name, name), 0) if _CHARSET.match(name) else None


def _as_code_page(data: bytes) -> Decoded | None:
    name = likeliest(data.rstrip(_DOS_END.encode()))
    return _as_text(data, name) if name is not None else None


def _as_wide(data: bytes) -> Decoded | None:
    """UTF-16 or UTF-32 without a mark, else it is binary."""
    from chardet import detect

    num_zeros = data.count(0)
    if num_zeros <= len(data) * _ZERO_SHARE and len(_RAW_CONTROL.findall(data)) <= len(data) * _CONTROL_SHARE:
        return None  # Latin letters bring as many zeros as letters, others bring bytes of all kinds
    num_bytes = len(data.rstrip(b"\0" + _DOS_END.encode()))
    ended = data[: num_bytes + -num_bytes % 4]  # a character's last byte may be a zero
    guess = None
    if num_zeros and ended:
        found_wide = detect(ended, compat_names=False, include_encodings=_WIDE, no_match_encoding=_WIDE[0])
        guess = found_wide["encoding"] if found_wide["confidence"] > _NO_MATCH else None
    for encoding in (guess, *_WIDE[:2]):
        found = _as_text(data, encoding, 1) if encoding is not None else None
        if found is not None and not any(category(one) in ("Co", "Cn") for one in found.text):
            num_eastern = len(_EASTERN.findall(found.text))
            if encoding == guess or num_eastern >= len(found.text) * _EASTERN_SHARE:
                return found
    return None
