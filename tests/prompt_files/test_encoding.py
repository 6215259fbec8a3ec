"""Texts as people have them: languages, encodings, long and short, in prose and in code, whole and damaged."""

from collections.abc import Iterator

import pytest

from prompt_files.encoding import decode
from tests.prompt_files.languages import SAMPLES

ENCODINGS = {
    **dict.fromkeys(("French", "Portuguese", "German", "Spanish", "Italian", "Swedish"), ("latin-1", "cp1252")),
    **dict.fromkeys(("Polish", "Czech", "Hungarian"), ("cp1250", "iso8859-2")),
    "Russian": ("cp1251", "koi8-r", "cp866"),
    "Ukrainian": ("cp1251", "koi8-u"),
    "Greek": ("cp1253",),
    "Turkish": ("cp1254",),
    "Hebrew": ("cp1255",),
    "Arabic": ("cp1256",),
    "Chinese": ("gbk", "gb18030"),
    "Taiwan": ("big5",),
    "Japanese": ("shift_jis", "euc_jp", "iso2022_jp"),
    "Korean": ("euc_kr",),
}
OF_UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
LEGACY = [(language, encoding) for language, names in ENCODINGS.items() for encoding in names]
CODE = """def load_{number}(path, limit=10):
    # {comment}
    rows = [row for row in read(path) if row["id"] < limit]
    return sum(row["price"] * 1.19 for row in rows) / len(rows)

"""


def code(language: str) -> str:
    words = SAMPLES[language]
    return "".join(CODE.format(number=start, comment=words[start : start + 48]) for start in range(0, len(words), 48))


def pieces(text: str, length: int) -> Iterator[str]:
    """Pieces from all over a text; those without a letter outside ASCII are the same in every encoding."""
    starts = range(0, max(1, len(text) - length), max(1, length // 3))
    return (piece for start in starts if not (piece := text[start : start + length]).isascii())


@pytest.mark.parametrize(("language", "encoding"), LEGACY)
def test_a_letter_in_a_code_page_is_read(language: str, encoding: str) -> None:
    text = SAMPLES[language]
    found = decode(text.encode(encoding))
    assert found is not None
    assert (found.text, found.num_damaged) == (text, 0)


@pytest.mark.parametrize(("language", "encoding"), LEGACY)
def test_so_is_code_with_comments_in_it(language: str, encoding: str) -> None:
    found = decode(code(language).encode(encoding))
    assert found is not None
    assert found.text == code(language)


@pytest.mark.parametrize("language", SAMPLES)
@pytest.mark.parametrize("encoding", OF_UNICODE)
def test_unicode_is_read_with_and_without_its_mark(language: str, encoding: str) -> None:
    for text in (SAMPLES[language], code(language), SAMPLES[language] + "\r\n"):
        found = decode(text.encode(encoding))
        assert found is not None
        assert (found.text, found.num_damaged) == (text, 0)


@pytest.mark.parametrize(("length", "least"), [(24, 0.94), (48, 0.97), (96, 0.99)])
def test_short_pieces_are_mostly_right(length: int, least: float) -> None:
    """A piece of 24 characters may have one letter to go by: what is left open there is told by the encoding's name."""
    wrong, num_pieces = [], 0
    for language, encoding in LEGACY:
        for piece in pieces(SAMPLES[language], length):
            num_pieces += 1
            found = decode(piece.encode(encoding))
            if found is None or found.text != piece:
                wrong.append((encoding, found and found.encoding, piece))
    assert num_pieces > 80
    assert len(wrong) <= num_pieces * (1 - least), wrong


@pytest.mark.parametrize("language", ["French", "Portuguese"])
def test_french_and_portuguese_are_not_central_european(language: str) -> None:
    for length in (24, 48, 96, 160):
        for piece in pieces(SAMPLES[language], length):
            found = decode(piece.encode("latin-1"))
            assert found is not None
            assert found.text == piece


def fullest(language: str, length: int) -> str:
    """The piece with most to tell UTF-8 by."""
    return max(pieces(SAMPLES[language], length), key=lambda piece: len(piece.encode()))


@pytest.mark.parametrize("piece", [fullest(language, length) for language in SAMPLES for length in (16, 40, 120)])
def test_utf8_with_a_byte_that_is_wrong_cut_or_lost_is_utf8(piece: str) -> None:
    data = piece.encode()
    at = next(place for place, byte in enumerate(data) if byte > 0x7F and place >= len(data) // 2)
    for damaged in (
        data + b"\xff",
        data + "é".encode()[:1],
        data[:at] + b"\xff" + data[at:],
        data[:at] + data[at + 1 :],
    ):
        found = decode(damaged)
        assert found is not None
        assert found.encoding == "utf-8"
        assert 1 <= found.num_damaged <= 4
        assert found.text == damaged.decode("utf-8", "replace")


def test_the_values_that_were_wrong() -> None:
    german = decode("Grüße aus Köln\n".encode() * 20 + b"\xff")
    assert german is not None
    assert (german.text[:14], german.encoding, german.num_damaged) == ("Grüße aus Köln", "utf-8", 1)
    russian = decode((SAMPLES["Russian"].rstrip(".") * 3).encode()[:-1])
    assert russian is not None
    assert (russian.encoding, russian.num_damaged) == ("utf-8", 1)
    emoji = decode("I like it 👍".encode()[:-1])
    assert emoji is not None
    assert (emoji.text, emoji.encoding) == ("I like it \ufffd", "utf-8")
    french = decode("Il est très tôt, et c'est très bien.".encode("latin-1"))
    assert french is not None
    assert french.text == "Il est très tôt, et c'est très bien."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "cp850"])
def test_a_dos_end_of_file_is_no_part_of_the_text(encoding: str) -> None:
    for end in ("\x1a", "\x1a" * 90):
        found = decode((SAMPLES["German"] + "\r\n" + end).encode(encoding))
        assert found is not None
        assert found.text == SAMPLES["German"] + "\r\n"


def test_a_letter_whose_bytes_look_like_that_end_stays() -> None:
    found = decode("\ufeffМОСКВА К".encode("utf-16-be"))
    assert found is not None
    assert found.text == "МОСКВА К"


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "utf-16"])
def test_a_file_that_is_cut_inside_a_character_is_read_up_to_there(encoding: str) -> None:
    language = next((name for name, names in ENCODINGS.items() if encoding in names), "Japanese")
    found = decode(SAMPLES[language].encode(encoding)[:-3])
    assert found is not None
    assert found.text.startswith(SAMPLES[language][:-3])
    assert found.num_damaged <= 1


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("# -*- coding: koi8-r -*-\n", "koi8-r"),
        ('<?xml version="1.0" encoding="windows-1251"?>\n', "cp1251"),
        ('<!doctype html>\n<meta charset="iso-8859-5">\n', "iso8859-5"),
    ],
)
def test_a_file_that_names_its_encoding_is_believed(head: str, encoding: str) -> None:
    found = decode((head + "да").encode(encoding))
    assert found is not None
    assert found.text == head + "да"


def test_a_declaration_that_is_wrong_is_not_believed() -> None:
    text = "# coding: latin-1\n" + SAMPLES["Chinese"]
    found = decode(text.encode())
    assert found is not None
    assert found.text == text


@pytest.mark.parametrize("name", ["punycode", "unicode_escape", "rot13", "hex", "no-such-set", "utf-8"])
def test_a_declared_codec_that_is_no_code_page_is_not_used(name: str) -> None:
    text = f"# coding: {name}\n# " + SAMPLES["French"]
    found = decode(text.encode("latin-1"))
    assert found is not None
    assert found.text == text


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_text(seed: int) -> None:
    import random

    for length in (64, 500, 5000):
        assert decode(random.Random(seed * 10 + length).randbytes(length)) is None
