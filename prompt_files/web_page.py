"""The text of an HTML page, as somebody reads it."""

import re
from html.parser import HTMLParser
from typing import Final

_UNSEEN: Final = frozenset(
    {"script", "style", "template", "noscript", "svg", "annotation", "iframe", "object", "select"}
)
# fmt: off
_APART: Final = frozenset({
    "article", "blockquote", "dl", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "section",
    "table", "title", "ul",
})
_BLOCKS: Final = _APART | frozenset({
    "address", "aside", "body", "dd", "details", "dialog", "div", "dt", "fieldset", "figcaption", "footer",
    "form", "header", "hr", "html", "legend", "li", "main", "nav", "summary", "tbody", "tfoot", "thead", "tr",
})
# fmt: on
_OPENING: Final = re.compile(r"<(?:!doctype\s+html|html)[\s>]", re.I)
_CONDITION: Final = re.compile(r"<!\[(?!CDATA\[)[^>]*>?")  # what Word writes for old browsers ends Python's parser
_BEFORE: Final = re.compile(r"<\?xml[^>]*>|<!--.*?-->", re.S)
_MARK: Final = re.compile(r" *(?:-|\d+\.|#+) ")  # what stands before an item's or a heading's first word
_SPACE: Final = re.compile(r"[ \t\n\r\f]+")


def is_page(text: str) -> bool:
    """Whether a text begins as an HTML page does."""
    text = text[:4096].lstrip()
    while found := _BEFORE.match(text):
        text = text[found.end() :].lstrip()
    return _OPENING.match(text) is not None


def page_text(source: str) -> str:
    """What a page shows: a line for each block, list items and headings marked, cells of a row on one line."""
    reader = _Page()
    reader.feed(_CONDITION.sub(lambda found: "-->" if found[0].endswith("-->") else "", source))
    reader.close()
    return reader.text()


class _Page(HTMLParser):
    """Collects the words. Unclosed and crossed tags are what real pages are made of, so nothing relies on them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._unseen: list[str] = []
        self._num_pre = 0
        self._is_first_cell = True
        self._numbers: list[int | None] = []  # the next number of each open list, None for bullets

    def text(self) -> str:
        lines = "".join(self._pieces).split("\n")
        return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip(" \t\r") for line in lines)).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._unseen.append(tag)
        if self._unseen:
            return
        if tag in _BLOCKS:
            self._break(2 if tag in _APART and not self._numbers else 1)
        if tag == "br":
            self._pieces.append("\n")
        elif tag == "pre":
            self._num_pre += 1
        elif tag in ("ul", "ol"):
            self._numbers.append(1 if tag == "ol" else None)
        elif tag == "li":
            self._pieces.append("  " * (len(self._numbers) - 1) + self._mark())
        elif tag == "tr":
            self._is_first_cell = True
        elif tag in ("td", "th"):
            self._pieces.append("" if self._is_first_cell else " | ")
            self._is_first_cell = False
        elif tag == "img" and (words := dict(attrs).get("alt")):
            self._words(f"[{words}]")
        elif re.fullmatch("h[1-6]", tag):
            self._pieces.append("#" * int(tag[1]) + " ")

    def handle_endtag(self, tag: str) -> None:
        if self._unseen:
            if tag in self._unseen:
                del self._unseen[self._unseen.index(tag) :]
            return
        if tag == "pre":
            self._num_pre = max(0, self._num_pre - 1)
        elif tag in ("ul", "ol") and self._numbers:
            self._numbers.pop()
        if tag in _BLOCKS:
            self._break(2 if tag in _APART and not self._numbers else 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _UNSEEN:  # one that closes itself hides nothing
            self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if self._unseen:
            return
        if self._num_pre:
            self._pieces.append(data)
        else:
            self._words(_SPACE.sub(" ", data))

    def _words(self, words: str) -> None:
        if not self._pieces or self._pieces[-1].endswith(("\n", " ")):
            words = words.lstrip(" ")
        if words:
            self._pieces.append(words)

    def _break(self, num_lines: int) -> None:
        """End the line, and leave an empty one where `num_lines` is 2."""
        last = next((piece for piece in reversed(self._pieces) if piece), "\n\n")
        if _MARK.fullmatch(last):
            return
        missing = num_lines - (len(last) - len(last.rstrip("\n")))
        self._pieces.append("\n" * missing)

    def _mark(self) -> str:
        number = self._numbers[-1] if self._numbers else None
        if number is None:
            return "- "
        self._numbers[-1] = number + 1
        return f"{number}. "
