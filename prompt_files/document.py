"""Any file as text: a plain text in any encoding, a PDF, or what else holds words."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prompt_files.encoding import Decoded, decode
from prompt_files.errors import UnreadableFileError
from prompt_files.pdf import PdfError, is_pdf, pdf_text
from prompt_files.rich_text import rich_text

# No context holds so much text. What a smaller text needs is counted in tokens, where the model is known.
MAX_TEXT_BYTES: Final = 16 * 2**20
# Of what holds pictures too the text is a small part.
MAX_PDF_BYTES: Final = 64 * 2**20
_SIGNATURES: Final = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"\x1f\x8b", "a compressed file"),
    (b"BZh", "a compressed file"),
    (b"\xfd7zXZ", "a compressed file"),
    (b"\x28\xb5\x2f\xfd", "a compressed file"),
    (b"\x7fELF", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"SQLite format 3", "a database"),
    (b"GGUF", "a model"),
)


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text. `encoding` is a codec's name, or the kind of file: "pdf", "rtf", "html", "eml", "ipynb".

    `num_pages` is None for what has none; `num_blank_pages` of them gave no text. In `num_damaged` places bytes had no
    meaning in the encoding.
    """

    path: Path
    text: str
    size_bytes: int
    encoding: str
    num_pages: int | None = None
    num_blank_pages: int = 0
    num_damaged: int = 0

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name

    @property
    def remark(self) -> str:
        """What of the file is not in the text, for people; "" where it is whole."""
        if self.num_blank_pages:
            return f"{self.num_blank_pages} of {self.num_pages} pages without text"
        if self.num_damaged:
            return f"{self.num_damaged} unreadable character" + ("s" if self.num_damaged != 1 else "")
        return ""


def read_document(path: Path) -> Document:
    """Read a file's text, its line ends made `\\n`. Blocks while it reads: not for a window's own thread.

    Raises UnreadableFileError.
    """
    data = _read(path)
    if is_pdf(data):
        return _pdf(data, path)
    found = (
        None if any(data.startswith(mark) for mark, _ in _SIGNATURES) else rich_text(data, path) or _plain(data, path)
    )
    if found is None:
        kind = next((kind for mark, kind in _SIGNATURES if data.startswith(mark)), "a binary file")
        raise UnreadableFileError(f"“{path.name}” is {kind}, not text: give a text file or a PDF.", path)
    if len(found.text) > MAX_TEXT_BYTES:
        raise _too_large(path, len(found.text), MAX_TEXT_BYTES)
    text = found.text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise UnreadableFileError(f"“{path.name}” is empty: write something into it first.", path)
    return Document(path, text, len(data), found.encoding, num_damaged=found.num_damaged)


def _pdf(data: bytes, path: Path) -> Document:
    try:
        pages = pdf_text(data)
    except PdfError as error:
        raise UnreadableFileError(f"“{path.name}” {error}.", path, details=repr(error.__cause__ or "")) from error
    text = "\n\n".join(page for page in pages if page)
    return Document(path, text, len(data), "pdf", len(pages), pages.count(""))


def _plain(data: bytes, path: Path) -> Decoded | None:
    if len(data) > MAX_TEXT_BYTES:
        raise _too_large(path, len(data), MAX_TEXT_BYTES)
    return decode(data)


def _read(path: Path) -> bytes:
    try:
        info = path.stat()
        if stat.S_ISDIR(info.st_mode):
            raise UnreadableFileError(f"“{path.name}” is a folder: give the files in it.", path)
        if not stat.S_ISREG(info.st_mode):  # opening a pipe would wait for its writer for ever
            raise UnreadableFileError(f"“{path.name}” is a device or a pipe: give a text file or a PDF.", path)
        with path.open("rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > MAX_PDF_BYTES:
                is_document = is_pdf(file.read(1024))
                raise _too_large(path, size, MAX_PDF_BYTES if is_document else MAX_TEXT_BYTES)
            data = file.read(MAX_PDF_BYTES + 1)
    except FileNotFoundError as error:
        raise UnreadableFileError(f"“{path.name}” is not there (any more): look where it went.", path) from error
    except PermissionError as error:
        raise UnreadableFileError(f"“{path.name}” may not be read: change its permissions.", path) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnreadableFileError(f"“{path.name}” cannot be read ({reason}).", path, details=repr(error)) from error
    if len(data) > MAX_PDF_BYTES:  # a file that grows, or one of /proc, whose size is not told
        raise _too_large(path, len(data), MAX_TEXT_BYTES)
    return data


def _too_large(path: Path, size: int, limit: int) -> UnreadableFileError:
    message = f"“{path.name}” has {size / 2**20:,.0f} MB, more than the {limit // 2**20} MB that are read"
    return UnreadableFileError(f"{message}: cut out the part that matters.", path)
