"""The text of a PDF."""

import io
import logging
from typing import Final

SIGNATURE: Final = b"%PDF-"
# What stands before the signature is allowed to be this long.
HEAD_BYTES: Final = 1024

# It logs every oddity of a file that it reads nevertheless.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


class PdfError(ValueError):
    """Why a PDF gives no text; the message goes on from the file's name."""


def is_pdf(data: bytes) -> bool:
    """Whether the bytes begin as a PDF does."""
    return SIGNATURE in data[:HEAD_BYTES]


def pdf_text(data: bytes) -> tuple[str, int]:
    """The text of all pages, a blank line between two, and how many pages there are. Raises PdfError."""
    # Every command and every window waits for what stands above, and few for a PDF.
    from pypdf import PasswordType, PdfReader
    from pypdf.errors import DependencyError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
            raise PdfError("is locked with a password: save a copy without one")
        pages = [page.extract_text().strip() for page in reader.pages]
    except PdfError:
        raise
    except DependencyError as error:
        raise PdfError("is encrypted: save a copy without encryption") from error
    except Exception as error:  # a broken PDF can fail in any of pypdf's parsers
        raise PdfError(f"is a damaged PDF ({type(error).__name__}): open it and save it again") from error
    text = "\n\n".join(page for page in pages if page)
    if not text:
        raise PdfError("is a PDF of pictures without text: run text recognition on it first")
    # Ligature tables of some fonts give halves of surrogate pairs, which nothing can encode.
    return text.encode("utf-8", "replace").decode("utf-8"), len(pages)
