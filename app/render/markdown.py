"""Markdown as a list of top-level blocks. Knows no Qt."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token


@dataclass(frozen=True, slots=True)
class Block:
    """One top-level block: its tokens, and the line of the parsed text it begins with."""

    tokens: Sequence[Token]
    first_line: int

    @property
    def is_code(self) -> bool:
        """Whether it is a fenced or indented block of code."""
        return self.tokens[0].type in ("fence", "code_block")

    @property
    def language(self) -> str:
        """The language a fence names, empty where it names none."""
        return (self.tokens[0].info.split() or [""])[0].lower()


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


def split_closed(text: str) -> tuple[list[Block], Block | None, int]:
    """The blocks that no further text can change, the open last one, and how many characters the closed ones took.

    Only the last block can still grow: a paragraph into a heading, a list by another item, a fence by its end.
    """
    blocks = parse(text)
    if not blocks:
        return [], None, 0
    *closed, tail = blocks
    lines = text.splitlines(keepends=True)
    return closed, tail, sum(len(line) for line in lines[: tail.first_line]) if closed else 0
