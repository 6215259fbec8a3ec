"""Markdown as models write it, and as they fail to: pieces that hypothesis puts together."""

from hypothesis import strategies as st

WORDS = (
    "one", "two words", "**bold**", "*em*", "`code`", "~~gone~~", "[link](https://e.org)", "[ref][1]", "[1]", "[^2]",
    "**「強調」**です", "これは。", "你好：**请**看", "مرحبا", "עברית *x*", "a<br>b", "\\(x^2\\)", "$a_1$",
    "costs $5.", "<b>html</b>", "&amp;", "http://x.org", "**open", "`open", "[open", "a | b", "x \\| y", "\\",
    "- not", "# not", "😀", "1. no", "> no", "| `a\\|b` | c |", "---", "\\[y\\]", "![p](q.png)", "</div>",
    "Sentence one. And two! Was it? Yes.",
)  # fmt: skip
LINES = (
    "# Head", "## Head two ##", "#", "===", "---", "***", "- - -", "-", "*", "+", "1.", "2)", "- item", "* star",
    "+ plus", "| a | b |\n|---|:-:|\n| 1 | `x\\|y` |", "| h |\n|---|\n| 1<br>2 |\n| 3 |\n| 4 |",
    "see [1], [x][2] and [2].", "[1]: https://one.org", "[2]: https://two.org 'Two'", "1. first", "7. seventh",
    "2) other", "10. ten", "- [ ] task", "- [x] done", "- - twice", "1. - both", "> quote", "> > deeper", ">",
    "> - listed", "> ```", "> 1. a", "```", "```python", "~~~", "````md", "   ```", "x = 1", "\tcode", "    indented",
    "| a | b |", "|---|---|", "| 1 | `x\\|y` |", "|:--|--:|", "a | b", "--|--", "[1]: https://one.org",
    '[1]: <https://other.org> "Title"', "[2]:", "https://two.org", "'title", "title'", "[^2]: note", "\\[", "\\]",
    "$$", "\\[ z \\]", "+ c", "<div>", "</div>", "<!-- c -->", "", "", "", " ", "\\", "  ",
)  # fmt: skip
INDENTS = ("", "", "", "", " ", "  ", "   ", "    ", "      ", "\t", "> ", "- ", "1. ", ">", "  > ")

_texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
_lines = st.builds(str.__add__, st.sampled_from(INDENTS), st.sampled_from(LINES) | _texts)
_ends = st.sampled_from(("\n", "\n", "\n", "\n\n", "\n\n", "  \n", "\r\n", "\r"))


def documents(most_lines: int = 14) -> st.SearchStrategy[str]:
    """Texts of some lines, the last of which may have no end."""
    line = st.builds(str.__add__, _lines, _ends)
    return st.builds(lambda lines, last: "".join(lines) + last, st.lists(line, max_size=most_lines), _lines)


def cuts() -> st.SearchStrategy[list[float]]:
    """Where a text is cut, as parts of its length."""
    return st.lists(st.floats(0, 1, exclude_max=True), max_size=12).map(sorted)


def prefixes(text: str, places: list[float]) -> list[str]:
    """The text as it grows."""
    return [text[: int(place * len(text))] for place in places]
