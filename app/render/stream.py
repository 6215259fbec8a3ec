"""Markdown that grows at its end: what no further text can change is told once, what may still change again and again.

However the text arrives, the blocks are the same in the end. CommonMark decides line by line which blocks are open:
once a whole line has begun another block, the ones before it are as they will be. So nothing is closed by a line that
is not whole yet, and nothing but links depends on what stands elsewhere. Where an open block is long, it is cut at the
first place of a kind that the text before it tells by itself, so that such a place is the same at every length.
Knows no Qt.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from app.render.markdown import NO_REFERENCES, Block, References, linked, parse, parse_with

LONG_CHARS = 1_200  # an open block that is longer is cut: writing it anew with every word would hold up the window
LONG_PARAGRAPH_CHARS = 3_000  # cut between sentences, which one sees; people's paragraphs are shorter
LONG_TABLE_CHARS = 1_000  # cells are the slowest to write
WINDOW_CHARS = 2 * LONG_CHARS  # read at once
_LINE_END = re.compile(r"\r\n|\r(?!\n)|\n")
_EMPTY_LINE = re.compile(r"(?:\r\n|\r(?!\n)|\n)[ \t]*(?:\r\n|\r(?!\n)|\n)")
_SENTENCE_END = re.compile(
    r"(?:[^\s\d][.!?][\"”’)]?[ \t]+|[。！？][」』”’）]?|\n)(?=[^\W\d_])"  # a letter means nothing at a beginning
)
_QUOTE = re.compile(r" {0,3}>")


@dataclass(frozen=True, slots=True)
class Cut:
    """What the text behind a cut needs to be read as it would be behind the text before.

    `kind` is that of the block that was cut, empty where none was; `opening` is read before the text: a fence's first
    line, a table's head. `references` are those of the whole text before.
    """

    kind: str = ""
    opening: str = ""
    references: References = field(default_factory=lambda: NO_REFERENCES)


NO_CUT = Cut()


@dataclass(frozen=True, slots=True)
class Split:
    """The blocks that no further text can change, but for links; those at the end that it can; how many characters
    the closed ones took, and what the text behind them is to be split with."""

    closed: list[Block]
    tail: list[Block]
    num_chars: int
    cut: Cut = NO_CUT


def split_closed(text: str, cut: Cut = NO_CUT, *, is_final: bool = False) -> Split:
    """Split `text`, which follows `cut`; all of it is closed where it `is_final`.

    A reference that comes later than its links is in the cut: what was told before is to be linked anew.
    """
    if not is_final and len(text) < min(LONG_CHARS, LONG_TABLE_CHARS) and len(tail := _read(text, cut)[0]) <= 1:
        return Split([], tail, 0, cut)  # as nearly always: one block is open, and short
    before, closed, taken, size = cut, [], 0, WINDOW_CHARS
    while taken < len(text):
        is_rest = taken + size >= len(text)
        found = _Window(text[taken : taken + size], cut, is_end=is_final and is_rest).close()
        if found is not None:
            closed += found.closed
            taken, cut, size = taken + found.num_chars, found.cut, WINDOW_CHARS
        elif is_rest:
            break
        else:
            size *= 2
    if cut.references != before.references:
        closed = [linked(block, cut.references) for block in closed]
    tail = [] if is_final else _read(text[taken:], cut)[0]
    return Split(closed, tail, taken, cut)


def _read(text: str, cut: Cut) -> tuple[list[Block], References]:
    """The blocks of `text` behind `cut`."""
    blocks, references = parse_with(cut.opening + text, cut.references)
    if blocks and blocks[0].kind == cut.kind:
        blocks[0] = replace(blocks[0], continues=True)
    return blocks, references


class _Window:
    """A part of the text from a place on at which no block is open but the one that was cut there."""

    def __init__(self, text: str, cut: Cut, *, is_end: bool) -> None:
        self._text, self._cut, self._is_end = text, cut, is_end
        self._whole = len(text) if is_end else _whole_lines(text)
        self._blocks = _read(text[: self._whole], cut)[0]
        self._starts = _line_starts(cut.opening + text[: self._whole])

    def close(self) -> Split | None:
        """What can be closed at its beginning, None where nothing can."""
        for number, block in enumerate(self._blocks):
            is_last = number == len(self._blocks) - 1 and not self._is_end
            if (place := self._cut_place(block, is_last=is_last)) > 0:
                return self._closed(place, self._cut_in(block))
        if self._is_end:
            return self._closed(len(self._text))
        if len(self._text) - self._whole > LONG_PARAGRAPH_CHARS and (place := self._place_in_open_line()) > 0:
            return self._closed(place, Cut("paragraph_open"))
        if len(self._blocks) > 1:
            return self._closed(self._start(self._blocks[-2].end_line))
        return None

    def _closed(self, place: int, following: Cut | None = None) -> Split:
        blocks, references = _read(self._text[:place], self._cut)
        if following is not None:
            blocks[-1] = replace(blocks[-1], goes_on=True)
        return Split(blocks, [], place, replace(following or NO_CUT, references=references))

    def _start(self, line: int) -> int:
        """Where a line begins; 0 for those of the opening."""
        return max(0, self._starts[line] - len(self._cut.opening))

    def _cut_place(self, block: Block, *, is_last: bool) -> int:
        """Where `block` is cut, 0 where it is not."""
        match block.kind:
            case "fence":
                return self._place_in_fence(block)
            case "table_open":
                return self._place_in_table(block)
            case "paragraph_open" | "heading_open":
                return _sentence_place(self._text, self._start(block.first_line))
            case "ordered_list_open" | "bullet_list_open" | "blockquote_open" if is_last:
                return self._place_between_parts(block)
        return 0

    def _cut_in(self, block: Block) -> Cut:
        """What the text behind a cut in `block` needs."""
        num_opening = {"fence": 1, "table_open": 2}.get(block.kind, 0)
        if num_opening == 0:
            return Cut("paragraph_open" if block.kind == "heading_open" else block.kind)
        if block.continues:
            return self._cut
        return Cut(block.kind, self._text[self._start(block.first_line) : self._start(block.first_line + num_opening)])

    def _place_in_fence(self, block: Block) -> int:
        """Before the first line after `LONG_CHARS` that is not indented, or any after twice as many."""
        begin, first = self._start(block.first_line), block.first_line + 1
        for place in map(self._start, range(first + 1, first + 1 + _num_lines(block.tokens[0].content))):
            is_flush = place < self._whole and not self._text[place].isspace()
            if place - begin >= (LONG_CHARS if is_flush else 2 * LONG_CHARS):
                return place
        return 0

    def _place_in_table(self, block: Block) -> int:
        """Behind the first row after `LONG_TABLE_CHARS`."""
        begin, first_row = self._start(block.first_line), block.first_line + 2
        places = map(self._start, range(first_row + 1, block.end_line + 1))
        return next((place for place in places if place - begin >= LONG_TABLE_CHARS), 0)

    def _place_between_parts(self, block: Block) -> int:
        """Before the last item of a list, before the last block of a quote. No sign of such a cut is seen."""
        begin, parts = self._start(block.first_line), block.parts
        if self._whole - begin < LONG_CHARS or len(parts) < 2:
            return 0
        line = parts[-2].map if block.kind == "blockquote_open" else parts[-1].map
        place = self._start(line[block.kind == "blockquote_open"]) if line else 0
        is_quoted = block.kind != "blockquote_open" or _QUOTE.match(self._text, place)
        return place if place > begin and is_quoted else 0

    def _place_in_open_line(self) -> int:
        """In a paragraph whose one line is long already, while it is not whole."""
        blocks, _ = _read(self._text, self._cut)
        starts = _line_starts(self._cut.opening + self._text)
        begin = max(0, starts[blocks[-1].first_line] - len(self._cut.opening))
        return _sentence_place(self._text, begin)


def _sentence_place(text: str, begin: int) -> int:
    """Where a paragraph that begins at `begin` is cut: before the first sentence, or line, after
    `LONG_PARAGRAPH_CHARS` before which nothing marked up is open; 0 where it is not."""
    if len(text) - begin < LONG_PARAGRAPH_CHARS:
        return 0
    empty = _EMPTY_LINE.search(text, begin)
    end = min(empty.start() if empty else len(text), begin + 3 * LONG_PARAGRAPH_CHARS)
    for match in _SENTENCE_END.finditer(text, begin + LONG_PARAGRAPH_CHARS, end):
        before = text[begin : match.end()]
        if _is_balanced(before):
            return match.end() if [block.kind for block in parse(before)] == ["paragraph_open"] else 0
    return 0


def _is_balanced(text: str) -> bool:
    is_even = all(text.count(mark) % 2 == 0 for mark in ("*", "_", "`", "~"))
    return is_even and all(text.count(opening) == text.count(closing) for opening, closing in ("[]", ("\\(", "\\)")))


def _num_lines(text: str) -> int:
    return text.count("\n") + (not text.endswith("\n") and text != "")


def _line_starts(text: str) -> list[int]:
    """Where each line begins, as CommonMark counts them, and the end of the text."""
    starts: list[int] = [0, *_line_ends(text)]
    return starts if starts[-1] == len(text) and len(text) > 0 else [*starts, len(text)]


def _line_ends(text: str) -> Iterator[int]:
    return (match.end() for match in _LINE_END.finditer(text))


def _whole_lines(text: str) -> int:
    """How much of `text` is in lines that have ended. A carriage return may be half of an ending."""
    settled = text[:-1] if text.endswith("\r") else text
    return max(settled.rfind("\n"), settled.rfind("\r")) + 1
