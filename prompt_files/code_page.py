"""Which code page a text is in, by what its letters and words would be in each."""

import re
from typing import Final

# Code pages that people's files have. Those of EBCDIC, of old terminals and of small scripts only draw wrong guesses.
_CODE_PAGES: Final = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874"),
    *("iso8859-2", "koi8-r", "koi8-u", "gb18030", "big5hkscs", "cp932", "euc-jp", "cp949"),
    *("cp850", "cp852", "cp866", "mac-roman", "mac-cyrillic"),
)
_WESTERN: Final = frozenset(
    "àáâãäåæçèéêëìíîïñòóôõöøùúûüýÿœßÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝŸŒ" + "“”‘’„‚–—…•·«»‹›¡¿§©®™°²³½¼¾×±€£¥¢ªº\xa0\xad"
)
# Inside a word these are letters of another code page.
_BROKEN_WORD: Final = re.compile("[a-zA-Z][“”‘„‚…•«»‹›¡¿§©®™°²³½¼¾×±€£¥¢ªº][a-z]|[a-z][ªº]")
_ENOUGH_BYTES: Final = 64 * 1024
_OTHERS: Final = "\u0370-\u052f\u05d0-\u06ff\u0e00-\u0e7f"
_OTHER_SCRIPT: Final = re.compile(f"[{_OTHERS}]")
_MIXED: Final = re.compile(f"[A-Za-z][{_OTHERS}]|[{_OTHERS}](?=[A-Za-z])")
_MIXED_SHARE: Final = 0.2
# How much less likely than the best guess Windows-1252 may be: it is by far the most frequent.
_WESTERN_HANDICAP: Final = 1.3
_FOREIGN: Final = re.compile(rb"[\x80-\xff]")


def likeliest(data: bytes) -> str | None:
    """The codec of the code page that `data`, which is not all ASCII, is most likely in; None where it is no text.

    chardet weighs the pages. Only lines with something outside ASCII count: code would drown out its comments.
    """
    from chardet import detect_all  # every command and every window waits for what stands above

    foreign = _foreign_lines(data)
    sample = foreign[:_ENOUGH_BYTES]
    guesses = [
        (str(guess["encoding"]), guess["confidence"])
        for guess in detect_all(foreign, ignore_threshold=True, compat_names=False, include_encodings=_CODE_PAGES)
        if guess["encoding"] is not None
    ]
    name, confidence = next((guess for guess in guesses if not _mixes_scripts(sample, guess[0])), (None, 0.0))
    western = dict(guesses).get("cp1252")
    if western is not None and _is_western(sample):
        is_single = sum(len(found) for found in _FOREIGN.findall(foreign)) == 1
        if is_single or western * _WESTERN_HANDICAP >= confidence:
            return "cp1252"
    return name


def _foreign_lines(data: bytes) -> bytes:
    """The lines with something outside ASCII, as many as tell enough."""
    found: list[bytes] = []
    num_bytes = 0
    for line in data.splitlines():
        if not line.isascii() and num_bytes < _ENOUGH_BYTES:
            found.append(line)
            num_bytes += len(line)
    return b"\n".join(found)


def _mixes_scripts(data: bytes, encoding: str) -> bool:
    """Whether words of Latin letters hold Greek, Cyrillic, Hebrew, Arabic or Thai ones: then they are none."""
    text = data.decode(encoding, "replace")
    return len(_MIXED.findall(text)) > len(_OTHER_SCRIPT.findall(text)) * _MIXED_SHARE


def _is_western(data: bytes) -> bool:
    """Whether nothing in `data` speaks against Windows-1252, of which Latin-1 is a part."""
    text = data.decode("cp1252", "replace")
    return _WESTERN.issuperset(character for character in text if character > "\x7f") and not _BROKEN_WORD.search(text)
