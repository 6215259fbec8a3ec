"""The markdown that models write: CommonMark and a little more, and nothing that loads or hides anything."""

import re
from collections.abc import Callable
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, blockquote, list_block, reference
from markdown_it.rules_inline import StateInline

from app.render.emphasis import WideInline
from app.render.mathematics import add_mathematics

DEEPEST = 60  # open lists, items and quotes inside each other; what is deeper is text: nothing is ever left out
_LINE_BREAK = re.compile(r"<br[ \t]*/?>(?:[ \t]*\n[ ]*)?", re.IGNORECASE)
_BlockRule = Callable[[StateBlock, int, int, bool], bool]


@cache
def parser() -> MarkdownIt:
    """CommonMark with tables, strikethrough, `<br>` and mathematics; other HTML stays text, no picture is loaded."""
    made = MarkdownIt()
    made.inline = WideInline()
    # The parser's own bound leaves out what is behind it: it must never be reached.
    made.configure("commonmark", {"html": False, "maxNesting": 2 * DEEPEST})
    made.enable(["table", "strikethrough"]).disable("image")
    made.block.ruler.at("list", _bounded(list_block), {"alt": ["paragraph", "reference", "blockquote"]})
    made.block.ruler.at("blockquote", _bounded(blockquote), {"alt": ["paragraph", "reference", "blockquote", "list"]})
    made.block.ruler.at("reference", _link_reference)
    made.inline.ruler.before("autolink", "line_break", _line_break)
    add_mathematics(made)
    return made


def _bounded(rule: _BlockRule) -> _BlockRule:
    """`rule`, which finds nothing that would be too deep."""
    return lambda state, start, end, silent: state.level < DEEPEST and rule(state, start, end, silent)


def _link_reference(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A definition of a link. A footnote, `[^1]: word`, is none: its words are to be read."""
    is_note = state.src.startswith("[^", state.bMarks[start] + state.tShift[start])
    return not is_note and reference(state, start, end, silent)


def _line_break(state: StateInline, silent: bool) -> bool:
    """`<br>`, the one piece of HTML that models need: a table's cell has no other way to break a line. A line that
    ends with one breaks once."""
    match = _LINE_BREAK.match(state.src, state.pos, state.posMax)
    if match is None:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = match.end()
    return True
