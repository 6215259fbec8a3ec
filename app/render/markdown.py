"""Markdown as a list of top-level blocks. Knows no Qt."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

LONG_CHARS = 1_200  # an open block that is longer is cut: writing it anew with every word would hold up the window
LONG_TABLE_CHARS = 400  # cells are the slowest to write
_LINE_END = re.compile(r"\r\n?|\n")
_SENTENCE_END = re.compile(r"[.!?。！？][\"”’)]?\s+")


@dataclass(frozen=True, slots=True)
class Block:
    """One top-level block: its tokens, and the line of the parsed text it begins with.

    `continues`: the block before it is its beginning; `goes_on`: the one behind it is its end. Each is written once.
    """

    tokens: Sequence[Token]
    first_line: int
    continues: bool = False
    goes_on: bool = False

    @property
    def kind(self) -> str:
        """The type of its first token."""
        return self.tokens[0].type

    @property
    def is_code(self) -> bool:
        """Whether it is a fenced or indented block of code."""
        return self.kind in ("fence", "code_block")

    @property
    def language(self) -> str:
        """The language a fence names, empty where it names none."""
        return (self.tokens[0].info.split() or [""])[0].lower()


@dataclass(frozen=True, slots=True)
class Cut:
    """What the text behind a cut needs to be read as the block it belongs to.

    `kind` is that block's, empty where nothing was cut; `opening` is read before the text: a fence's first line, a
    table's head. `number` is that of a list's next item.
    """

    kind: str = ""
    opening: str = ""
    number: int = 1


NO_CUT = Cut()


@dataclass(frozen=True, slots=True)
class Split:
    """The blocks that no further text can change, the open last one, how many characters the closed ones took, and
    what the text behind them is to be split with."""

    closed: list[Block]
    tail: Block | None
    num_chars: int
    cut: Cut = NO_CUT


@cache
def parser() -> MarkdownIt:
    """CommonMark with tables and strikethrough; raw HTML stays text, and no picture is ever loaded."""
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")


def parse(text: str) -> list[Block]:
    """The top-level blocks of `text`, in order."""
    blocks: list[Block] = []
    current: list[Token] = []
    for token in parser().parse(text):
        current.append(token)
        if token.level == 0 and token.nesting <= 0:
            blocks.append(Block(current, (current[0].map or [0, 0])[0]))
            current = []
    return blocks


def split_closed(text: str, cut: Cut = NO_CUT) -> Split:
    """Split `text`, which follows `cut`.

    Only the last block can still grow: a paragraph into a heading, a list by another item, a fence by its end. Where
    it is long, it is cut behind its last whole line, row, item or sentence.
    """
    blocks = _parse_behind(text, cut)
    if not blocks:
        return Split([], None, 0, cut)
    *closed, tail = blocks
    if closed:
        num_chars = _line_starts(cut.opening + text)[tail.first_line] - len(cut.opening)
        behind = split_closed(text[num_chars:])
        return Split([*closed, *behind.closed], behind.tail, num_chars + behind.num_chars, behind.cut)
    limit = LONG_TABLE_CHARS if tail.kind == "table_open" else LONG_CHARS
    place, following = _cut_open(tail, text, cut) if len(text) > limit else (0, cut)
    if place == 0:
        return Split([], tail, 0, cut)
    *before, part = _parse_behind(text[:place], cut)
    behind = split_closed(text[place:], following)
    closed = [*before, replace(part, goes_on=True), *behind.closed]
    return Split(closed, behind.tail, place + behind.num_chars, behind.cut)


def _parse_behind(text: str, cut: Cut) -> list[Block]:
    blocks = parse(cut.opening + text)
    if blocks and blocks[0].kind == cut.kind:
        blocks[0] = replace(blocks[0], continues=True)
        if cut.kind == "ordered_list_open":
            blocks[0].tokens[0].attrs["start"] = cut.number
    return blocks


def _cut_open(block: Block, text: str, cut: Cut) -> tuple[int, Cut]:
    """Where to cut `block`, the only one of `text`, and what follows needs; 0 where it cannot be cut."""
    starts = _line_starts(text)
    match block.kind:
        case "fence":
            place = 0 if _is_closed_fence(block, text) else starts[-2]
            return _cut_lines(block, text, cut, place, num_opening=1)
        case "table_open":
            return _cut_lines(block, text, cut, starts[-2], num_opening=2)
        case "ordered_list_open" | "bullet_list_open":
            items = [token for token in block.tokens if token.type == "list_item_open" and token.level == 1]
            place = starts[items[-1].map[0]] if items[-1].map and len(items) > 1 else 0
            first = int(block.tokens[0].attrs.get("start", 1))
            return place, Cut(block.kind, number=first + len(items) - 1)
        case "paragraph_open":
            return _last_sentence(text), Cut(block.kind)
    return 0, cut


def _cut_lines(block: Block, text: str, cut: Cut, place: int, num_opening: int) -> tuple[int, Cut]:
    """Cut before the last line, which may still grow, and repeat the first lines, without which it means another."""
    if cut.opening:
        return place, cut
    opening_end = _line_starts(text)[block.first_line + num_opening]
    return (place if place > opening_end else 0), Cut(block.kind, text[:opening_end])


def _is_closed_fence(block: Block, text: str) -> bool:
    last, mark = text.rstrip().rpartition("\n")[2].strip(), block.tokens[0].markup
    return last.startswith(mark) and not last.strip(mark[0])


def _last_sentence(text: str) -> int:
    """Where the last sentence begins before which nothing marked up is open, 0 where there is none.

    It begins with a letter: anything else might mean something at a paragraph's beginning.
    """
    places = [match.end() for match in _SENTENCE_END.finditer(text)]
    for place in reversed(places[-20:]):
        before = text[:place]
        is_even = all(before.count(mark) % 2 == 0 for mark in ("*", "_", "`", "~"))
        if is_even and before.count("[") == before.count("]") and text[place : place + 1].isalpha():
            return place
    return 0


def _line_starts(text: str) -> list[int]:
    """Where each line begins, as CommonMark counts them, and the end of the text."""
    starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
    return [*starts, len(text)]
