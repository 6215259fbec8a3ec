r"""Rules for mathematics as models write it: `\(x\)` and `$x$` in a line, `\[x\]` and `$$x$$` also on their own.

Tokens: `math_inline` and `math_block`, whose content is what stands between the marks.
"""

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

_CLOSING = {"\\[": "\\]", "$$": "$$"}
_INLINE = re.compile(
    r"\\\((?P<round>.+?)\\\)"
    r"|\\\[(?P<square>.+?)\\\](?![(\[])"  # before a bracket it is a link's escaped text
    r"|\$\$(?P<double>[^$]+)\$\$"
    r"|\$(?P<single>(?![\s$])(?:[^$\\]|\\.)*?(?<!\s))\$(?![\w$])",
    re.DOTALL,
)
_PRICE = re.compile(r"\d[^\\^_=]*\s[^\\^_=]*")  # “$5 or US$” is no formula


def add_mathematics(parser: MarkdownIt) -> None:
    """Let `parser` know the marks. They come before escapes, which would take the backslashes off."""
    may_end = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("fence", "math_block", _math_block, {"alt": may_end})
    parser.inline.ruler.before("escape", "math_inline", _math_inline)


def _math_inline(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "\\$":
        return False
    match = _INLINE.match(state.src, state.pos, state.posMax)
    if match is None or match.lastgroup is None or not match[match.lastgroup].strip():
        return False
    if match.lastgroup == "single" and not _is_formula(state, match["single"]):
        return False
    if not silent:
        token = state.push("math_inline", "", 0)
        token.content = match[match.lastgroup].strip()
        token.markup = "display" if match.lastgroup in ("square", "double") else ""
    state.pos = match.end()
    return True


def _is_formula(state: StateInline, content: str) -> bool:
    """Whether a text between two single dollars is not what stands between two prices or names."""
    before = state.src[state.pos - 1 : state.pos]
    return not before.isalnum() and before != "$" and _PRICE.fullmatch(content) is None


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A line that begins with the opening mark, up to one that ends with the closing mark, or to an empty one.

    Line by line it is certain what belongs to it, so that it can be read as it streams. Text behind the closing mark
    in the first line makes it inline.
    """
    if state.is_code_block(start):
        return False
    first = _line(state, start)
    opening = first[:2]
    if opening not in _CLOSING or first.startswith("$$$"):
        return False
    closing = _CLOSING[opening]
    is_closed = first.find(closing, 2) >= 0
    if is_closed and (not first.endswith(closing) or first.find(closing, 2) != len(first) - 2):
        return False
    if silent:
        return True
    lines, line = [first[2:]], start + 1
    while not is_closed and line < end and not state.isEmpty(line) and state.sCount[line] >= state.blkIndent:
        lines.append(_line(state, line))
        is_closed = lines[-1].endswith(closing)
        line += 1
    if is_closed:
        lines[-1] = lines[-1].removesuffix(closing)
    else:
        lines[0] = first  # it may be no mathematics at all: nothing is left out
    state.line = line
    token = state.push("math_block", "", 0)
    token.content = "\n".join(text for each in lines if (text := each.strip()))
    token.map = [start, line]
    return True


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()
