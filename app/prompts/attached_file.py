"""A text that goes along with a question, as the composer holds it until it is sent. Knows no Qt."""

import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.store import Attachment
from prompt_files import Document

LONG_PASTE_CHARS = 4000
LONG_PASTE_LINES = 80
_KEYS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file's text on its way to the model. `num_tokens` is None until the engine has counted it.

    `path` is None for what was pasted; `note` says how it was read, `remark` what of it could not be; `was_cut` whether
    its end was taken off.
    """

    name: str
    text: str
    size_bytes: int
    note: str = ""
    remark: str = ""
    path: Path | None = None
    num_tokens: int | None = None
    was_cut: bool = False
    key: int = field(default_factory=lambda: next(_KEYS))

    @property
    def part(self) -> Attachment:
        """What is sent, and kept with the question."""
        return Attachment(self.name, self.text)

    def shortened(self, num_chars: int) -> "AttachedFile":
        """The first `num_chars` characters or a little less: up to the end of a line or a word."""
        text = self.text[:num_chars]
        for mark in ("\n", " "):
            if (end := text.rfind(mark)) > num_chars * 0.9:
                text = text[:end]
                break
        return replace(self, text=text, num_tokens=None, was_cut=True)


def attached(document: Document) -> AttachedFile:
    """A read file, ready to be attached."""
    pages = document.num_pages
    note = document.encoding.upper() if pages is None else f"PDF, {pages} page" + ("s" if pages != 1 else "")
    return AttachedFile(document.name, document.text, document.size_bytes, note, document.remark, document.path)


def pasted(text: str, number: int) -> AttachedFile:
    """A long paste as a file of its own."""
    name = "Pasted text" + (f" {number}" if number > 1 else "")
    return AttachedFile(name, text, len(text.encode("utf-8", "replace")), "pasted")


def is_long_paste(text: str) -> bool:
    """Whether a pasted text would bury the question."""
    return len(text) > LONG_PASTE_CHARS or text.count("\n") >= LONG_PASTE_LINES


def format_size(num_bytes: int) -> str:
    """A size for people: `812 B`, `14 KB`, `3.1 MB`."""
    if num_bytes < 1000:
        return f"{num_bytes} B"
    return f"{num_bytes / 1000:,.0f} KB" if num_bytes < 1_000_000 else f"{num_bytes / 1e6:,.1f} MB"
