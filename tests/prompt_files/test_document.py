"""Any file as text, by its content, and one sentence for what is none."""

import os
import zlib
from pathlib import Path

import pytest

from prompt_files import UnreadableFileError, read_document
from prompt_files.document import MAX_TEXT_BYTES
from tests.prompt_files.pdfs import form, pdf

GERMAN = "Der Fluß über die Brücke fließt für müde Wanderer. Schöne Grüße aus Köln."
FRENCH = "Le garçon a mangé une pêche près de l'école, où il était déjà allé."
JAPANESE = "これは日本語の文章です。推測デコーディングは速いです。漢字とカタカナを含みます。"
RUSSIAN = "Почему небо голубое? Это вопрос для любопытного ребёнка."
CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy. Dnes je krásný den a svítí slunce."
POLISH = "Zażółć gęślą jaźń. Dzisiaj jest piękny dzień i świeci słońce nad Wisłą."
EMOJI = "👩‍👩‍👧 family, 🏳️‍🌈 flag, é combined, 你好, \U0001d518"


def written(folder: Path, data: bytes, name: str = "file.txt") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (EMOJI, "utf-8"),
        (EMOJI, "utf-8-sig"),
        (EMOJI, "utf-16"),
        (EMOJI, "utf-32"),
        (GERMAN, "utf-16-le"),
        (GERMAN, "utf-16-be"),
        (GERMAN, "latin-1"),
        (FRENCH, "latin-1"),
        ("café", "latin-1"),
        ("“Hello” — it’s fine… €5", "cp1252"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN * 20, "koi8-r"),
        (CZECH, "cp1250"),
        (POLISH, "cp1250"),
        ("天空为什么是蓝色的？请用三句话解释。投机解码让模型更快。", "gb18030"),
        ("\x1b[31mred\x1b[0m log line\n" * 20, "utf-8"),
    ],
    ids=lambda value: value if len(value) < 12 and value.isascii() else None,
)
def test_the_text_is_there_whatever_its_encoding(tmp_path: Path, text: str, encoding: str) -> None:
    assert read_document(written(tmp_path, text.encode(encoding), "wrong.png")).text == text


def test_line_ends_become_one_kind(tmp_path: Path) -> None:
    assert read_document(written(tmp_path, b"a\r\nb\rc\nd\x0ce")).text == "a\nb\nc\nd\x0ce"


def test_the_size_is_the_files(tmp_path: Path) -> None:
    opened = read_document(written(tmp_path, "é".encode("utf-16")))
    assert (opened.size_bytes, opened.encoding, opened.name) == (4, "utf-16", "file.txt")


def test_a_pdf_gives_its_pages(tmp_path: Path) -> None:
    opened = read_document(written(tmp_path, pdf("First page.", "", "Third page."), "no-ending"))
    assert (opened.text, opened.encoding, opened.num_pages) == ("First page.\n\nThird page.", "pdf", 3)


def test_pages_without_text_are_told(tmp_path: Path) -> None:
    opened = read_document(written(tmp_path, pdf("First page.", "", "Third page.", "")))
    assert (opened.num_pages, opened.num_blank_pages, opened.remark) == (4, 2, "2 of 4 pages without text")
    assert read_document(written(tmp_path, pdf("Only page."))).remark == ""


def test_what_was_typed_into_a_form_is_read(tmp_path: Path) -> None:
    data = form(
        "Application",
        {"/FT": "/Tx", "/T": "name", "/V": "Zoë Müller"},
        {"/FT": "/Tx", "/T": "street", "/TU": "Street and number", "/V": "1 High St"},
        {"/FT": "/Tx", "/T": "empty", "/V": ""},
        {"/FT": "/Tx", "/T": "untouched"},
        {"/FT": "/Ch", "/T": "country", "/V": "Côte d’Ivoire"},
        {"/FT": "/Btn", "/T": "member", "/V": "/Yes", "/AS": "/Yes"},
        {"/FT": "/Btn", "/T": "news", "/V": "/Off", "/AS": "/Off"},
        {"/Subtype": "/FreeText", "/Contents": "Typed onto the page"},
        {"/Subtype": "/Text", "/Contents": "a reviewer's note"},
    )
    assert read_document(written(tmp_path, data)).text.split("\n") == [
        "Application",
        "name: Zoë Müller",
        "Street and number: 1 High St",
        "country: Côte d’Ivoire",
        "member: yes",
        "Typed onto the page",
    ]


def test_a_form_of_pictures_has_the_text_that_was_typed_into_it(tmp_path: Path) -> None:
    opened = read_document(written(tmp_path, form("", {"/FT": "/Tx", "/T": "name", "/V": "Ada"})))
    assert (opened.text, opened.num_blank_pages) == ("name: Ada", 0)


@pytest.mark.parametrize(
    "text",
    [
        "A PDF begins with %PDF-1.7, then come its objects.",
        "The smallest PDF:\n\n%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\nstartxref\n0\n%%EOF\n",
        "%PDF- is what stands first.",
        'if data[:5] == b"%PDF-":\n    return "Größe"\n',
    ],
)
def test_a_text_that_speaks_of_pdfs_is_a_text(tmp_path: Path, text: str) -> None:
    for encoding in ("utf-8", "latin-1"):
        assert read_document(written(tmp_path, text.encode(encoding))).text == text


@pytest.mark.parametrize(
    "head", [b"\n\n", b"\xef\xbb\xbf", b"\x1b%-12345X@PJL ENTER LANGUAGE=PDF\n", b"HTTP/1.1 200 OK\r\n\r\n"]
)
def test_a_pdf_with_something_before_it_is_a_pdf(tmp_path: Path, head: bytes) -> None:
    opened = read_document(written(tmp_path, head + pdf("Hello.")))
    assert (opened.text, opened.encoding) == ("Hello.", "pdf")


def test_a_damaged_text_tells_in_how_many_places(tmp_path: Path) -> None:
    data = "Grüße aus Köln\n".encode() * 20
    assert read_document(written(tmp_path, data)).remark == ""
    assert read_document(written(tmp_path, data + b"\xff")).remark == "1 unreadable character"
    assert read_document(written(tmp_path, b"\xff" + data + b"\xc3")).remark == "2 unreadable characters"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is a PNG picture, not text"),
        (b"\xff\xd8\xff\xe0 JFIF", "is a JPEG picture"),
        (b"PK\x03\x04 word/document.xml", "is a ZIP archive or an Office document"),
        (bytes(range(256)) * 40, "is a binary file"),
        (b"text\0with a zero", "is a binary file"),
        (zlib.compress(GERMAN.encode() * 40), "is a binary file"),
        (b"\xff\xfe\x00", "is a binary file"),
        (b"%PDF-1.7\nbroken", "is a damaged PDF"),
        (pdf("", ""), "is a PDF of pictures without text"),
        (pdf("secret", password="x"), "is locked with a password"),
    ],
)
def test_what_gives_no_text_is_told_in_one_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(UnreadableFileError) as caught:
        read_document(written(tmp_path, data, "thing"))
    message = str(caught.value)
    assert message.startswith("“thing” ")
    assert words in message
    assert message.endswith(".")
    assert "\n" not in message


def test_a_pdf_without_a_password_for_reading_opens(tmp_path: Path) -> None:
    assert read_document(written(tmp_path, pdf("Hello."))).text == "Hello."


def test_100_megabytes_are_refused_without_reading_them(tmp_path: Path) -> None:
    path = tmp_path / "big.log"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    with pytest.raises(UnreadableFileError, match="has 100 MB, more than the 16 MB that are read: cut out"):
        read_document(path)


def test_a_text_just_over_the_limit(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="more than the 16 MB"):
        read_document(written(tmp_path, b"a" * (MAX_TEXT_BYTES + 1)))


def test_gone_folder_and_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("gone", "is not there"), (".", "is a folder"), ("pipe", "is a device or a pipe")):
        with pytest.raises(UnreadableFileError, match=words):
            read_document(tmp_path / name)


def test_a_link_into_itself_and_one_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    with pytest.raises(UnreadableFileError, match=r"cannot be read \(Too many levels"):
        read_document(tmp_path / "loop")
    with pytest.raises(UnreadableFileError, match="is not there"):
        read_document(tmp_path / "dangling")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = written(tmp_path, b"x")
    path.chmod(0)
    with pytest.raises(UnreadableFileError, match="may not be read"):
        read_document(path)
