"""Emphasis beside Chinese, Japanese and Korean: no spaces stand there, by which CommonMark tells begin from end."""

import unicodedata
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Scanned
from markdown_it.token import Token


class WideInline(ParserInline):
    """The usual parser of inline markdown, with stars that may stand between a wide character and a sign."""

    def parse(self, src: str, md: MarkdownIt, env: MutableMapping[str, Any], tokens: list[Token]) -> list[Token]:
        """The tokens of `src`, added to `tokens`."""
        state = _WideState(src, md, env, tokens)
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens


class _WideState(StateInline):
    def scanDelims(self, start: int, can_split_word: bool) -> Scanned:
        """Whether a run of stars opens, closes, both. Beside a wide character only a space says that it does not."""
        found = super().scanDelims(start, can_split_word)
        end = start + found.length
        before = self.src[start - 1] if start > 0 else " "
        behind = self.src[end] if end < self.posMax else " "
        if can_split_word and (_is_wide(before) or _is_wide(behind)):
            return Scanned(not behind.isspace(), not before.isspace(), found.length)
        return found


@lru_cache(1024)
def _is_wide(character: str) -> bool:
    """Whether it is of a script that is written without spaces around marks, its punctuation included; no emoji."""
    is_east_asian = unicodedata.east_asian_width(character) in "WFH"
    return is_east_asian and unicodedata.category(character) not in ("So", "Sk")
