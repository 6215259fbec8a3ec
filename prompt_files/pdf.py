"""The text of a PDF."""

import io
import logging
import re
from collections.abc import Iterator
from typing import Any, Final

# What stands before the signature is allowed to be this long.
HEAD_BYTES: Final = 1024
_SIGNATURE: Final = re.compile(rb"%PDF-\d")
_PARTS: Final = (re.compile(rb"\d+\s+\d+\s+obj\b"), re.compile(rb"startxref|%%EOF"))
_MAX_DEPTH: Final = 32  # of a field's ancestors, which may form a ring

# It logs every oddity of a file that it reads nevertheless.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


class PdfError(ValueError):
    """Why a PDF gives no text; the message goes on from the file's name."""


def is_pdf(data: bytes) -> bool:
    """Whether the bytes are a PDF's. Some have a printer's or a server's lines before it; a text may speak of one."""
    found = _SIGNATURE.search(data[:HEAD_BYTES])
    if found is None:
        return False
    if not data[: found.start()].lstrip(b"\xef\xbb\xbf").strip():
        return True
    return all(part.search(data, found.end()) for part in _PARTS) and not _is_utf8(data)


def pdf_text(data: bytes) -> list[str]:
    """Each page's text, with what was typed into its form; "" for one that has none. Raises PdfError."""
    # Every command and every window waits for what stands above, and few for a PDF.
    from pypdf import PasswordType, PdfReader
    from pypdf.errors import DependencyError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
            raise PdfError("is locked with a password: save a copy without one")
        pages = [
            "\n".join(part for part in (page.extract_text().strip(), *_typed(page)) if part) for page in reader.pages
        ]
    except PdfError:
        raise
    except DependencyError as error:
        raise PdfError("is encrypted: save a copy without encryption") from error
    except Exception as error:  # a broken PDF can fail in any of pypdf's parsers
        raise PdfError(f"is a damaged PDF ({type(error).__name__}): open it and save it again") from error
    if not any(pages):
        raise PdfError("is a PDF of pictures without text: run text recognition on it first")
    # Ligature tables of some fonts give halves of surrogate pairs, which nothing can encode.
    return [page.encode("utf-8", "replace").decode("utf-8") for page in pages]


def _is_utf8(data: bytes) -> bool:
    try:
        return "\0" not in data.decode("utf-8")
    except UnicodeDecodeError:
        return False


def _typed(page: Any) -> Iterator[str]:
    """`name: value` of each field of a form that is filled, and text that was typed onto the page."""
    told = set[str]()  # the buttons of a group share its value
    for reference in page.get("/Annots") or ():
        annotation = reference.get_object()
        if annotation.get("/Subtype") == "/FreeText":
            yield str(annotation.get("/Contents", "")).strip()
        if annotation.get("/Subtype") != "/Widget" or not (value := _value(annotation)):
            continue
        line = f"{_name(annotation)}: {value}"
        if line not in told:
            told.add(line)
            yield line


def _value(field: Any) -> str:
    """What was typed or chosen; "" where nothing was, and for buttons that only do something."""
    kind, value = _inherited(field, "/FT"), _inherited(field, "/V")
    if kind == "/Btn":
        state = str(field.get("/AS", "/Off"))
        return "" if state == "/Off" else "yes" if state in ("/Yes", "/On", "/1") else state[1:]
    if kind not in ("/Tx", "/Ch") or value is None:
        return ""
    values = value if isinstance(value, list) else [value]
    texts = [_text(one.get_object()) for one in values]
    return ", ".join(text for text in texts if text)


def _text(value: Any) -> str:
    if hasattr(value, "get_data"):  # a long value may be a stream
        data: bytes = value.get_data()
        return data.decode("utf-8", "replace").strip()
    return str(value).strip().replace("\r\n", "\n").replace("\r", "\n")


def _name(field: Any) -> str:
    """What the form calls the field: its words for people, else its own name."""
    return " ".join(str(_inherited(field, "/TU") or _inherited(field, "/T") or "Field").split())


def _inherited(field: Any, key: str) -> Any:
    for _ in range(_MAX_DEPTH):
        if key in field:
            return field[key]
        if "/Parent" not in field:
            break
        field = field["/Parent"]
    return None
