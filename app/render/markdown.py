"""Markdown as a list of top-level blocks. Knows no Qt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markdown_it.token import Token

from app.render.grammar import parser

References = Mapping[str, Any]  # what links are called, and where they lead
NO_REFERENCES: References = {}


@dataclass(frozen=True, slots=True)
class Block:
    """One top-level block: its tokens.

    `continues`: the block before it is its beginning; `goes_on`: the one behind it is its end. Each is written once.
    """

    tokens: Sequence[Token]
    continues: bool = False
    goes_on: bool = False

    @property
    def kind(self) -> str:
        """The type of its first token."""
        return self.tokens[0].type

    @property
    def first_line(self) -> int:
        """The line of the parsed text it begins with."""
        return (self.tokens[0].map or [0, 0])[0]

    @property
    def end_line(self) -> int:
        """The line behind its last one."""
        return (self.tokens[0].map or [0, 0])[1]

    @property
    def is_code(self) -> bool:
        """Whether it is a fenced or indented block of code."""
        return self.kind in ("fence", "code_block")

    @property
    def language(self) -> str:
        """The language a fence names, empty where it names none."""
        return (self.tokens[0].info.split() or [""])[0].lower()

    @property
    def parts(self) -> list[Token]:
        """The blocks that stand directly in it: a list's items, what is quoted."""
        return [token for token in self.tokens if token.level == 1 and token.nesting >= 0]


def parse(text: str) -> list[Block]:
    """The top-level blocks of `text`, in order."""
    return parse_with(text, NO_REFERENCES)[0]


def parse_with(text: str, references: References) -> tuple[list[Block], References]:
    """The blocks of `text`, whose links may also lead where `references` say, and those with the text's own added."""
    known = {"references": dict(references)}
    blocks: list[Block] = []
    current: list[Token] = []
    for token in parser().parse(text, known):
        current.append(token)
        if token.level == 0 and token.nesting <= 0:
            blocks.append(Block(current))
            current = []
    return blocks, known["references"]


def linked(block: Block, references: References) -> Block:
    """The block with the links that `references` make of its text; the same one where they make none."""
    tokens = [_linked(token, references) for token in block.tokens]
    is_same = all(ours is theirs for ours, theirs in zip(tokens, block.tokens, strict=True))
    return block if is_same else replace(block, tokens=tokens)


def _linked(token: Token, references: References) -> Token:
    if token.type != "inline" or "[" not in token.content:
        return token
    children = parser().parseInline(token.content, {"references": dict(references)})[0].children
    return token if children == token.children else token.copy(children=children)
