"""Markdown streams into documents: no markup gets through, and the end is the same however it arrived."""

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QFont, QTextDocument, QTextTable
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.chat.views.answer.code_block import CodeBlock
from app.chat.views.answer.markdown import MarkdownView
from app.chat.views.answer.text_segment import TextSegment
from app.look.theme import LIGHT
from app.look.widgets.flow_text import FlowText
from app.render.code import highlight
from app.render.document_writer import DocumentWriter
from app.render.formula import pieces
from app.render.markdown import parse
from app.render.stream import Split, split_closed
from tests.app.stand_in import ANSWER


def written(text: str) -> QTextDocument:
    document = QTextDocument()
    DocumentWriter(document, LIGHT).write(parse(text))
    return document


def shown(view: MarkdownView) -> list[str]:
    """What each segment holds: a language and code, or a text's HTML, which carries every format."""
    parts = []
    for segment in view._segments:
        if isinstance(segment, CodeBlock):
            parts.append(f"{segment._language.text()}: {segment._text.toPlainText()}")
        else:
            parts.append(segment.toHtml())
    return parts


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a <b>bold</b> word",
        "<img src=x onerror=y>",
        "&lt;b&gt; <!-- gone? -->",
        "<div>\n\nx",
    ],
)
def test_markup_stays_text(qtbot: QtBot, text: str) -> None:
    document = written(text)
    expected = text.replace("&lt;", "<").replace("&gt;", ">").replace("\n\n", "\n")
    assert document.toPlainText() == expected
    assert "<script" not in document.toHtml()
    assert "<img" not in document.toHtml()


@pytest.mark.parametrize("target", ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x"])
def test_dangerous_links_are_no_links(qtbot: QtBot, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[QUrl] = []
    monkeypatch.setattr("app.look.widgets.flow_text.QDesktopServices.openUrl", opened.append)
    view = FlowText()
    qtbot.addWidget(view)
    view.anchorClicked.emit(QUrl(target))
    assert opened == []
    view.anchorClicked.emit(QUrl("https://example.org"))
    assert opened == [QUrl("https://example.org")]


def test_pictures_are_never_loaded(qtbot: QtBot) -> None:
    assert "<img" not in written("![alt](file:///etc/passwd) ![b](https://x.org/p.png)").toHtml()


@pytest.mark.parametrize("step", [3, 11, 37])
def test_streaming_ends_like_writing_at_once(qtbot: QtBot, step: int) -> None:
    text = ANSWER + "\n> quoted\n\n---\n\n1. one\n   - deep\n2. two\n\n# End\n\n    indented\n"
    streamed, whole = MarkdownView(), MarkdownView()
    for view in (streamed, whole):
        qtbot.addWidget(view)
    for end in range(0, len(text), step):
        streamed.show_text(text[:end], LIGHT, is_final=False)
    streamed.show_text(text, LIGHT, is_final=True)
    whole.show_text(text, LIGHT, is_final=True)
    assert shown(streamed) == shown(whole)


def test_closed_blocks_are_written_once(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[int] = []
    write = TextSegment.append_block
    monkeypatch.setattr(
        TextSegment,
        "append_block",
        lambda self, *a, is_tail=False: (times.append(is_tail), write(self, *a, is_tail=is_tail)),
    )
    view = MarkdownView()
    qtbot.addWidget(view)
    text = "one\n\ntwo\n\nthree\n"
    for end in range(1, len(text) + 1):
        view.show_text(text[:end], LIGHT, is_final=False)
    assert times.count(False) == 2


def test_only_the_last_block_is_open() -> None:
    split = split_closed("# A\n\ntext\n\n```py\nx = 1\n")
    assert [block.kind for block in split.closed] == ["heading_open", "paragraph_open"]
    (tail,) = split.tail
    assert tail.is_code
    assert tail.language == "py"
    assert "# A\n\ntext\n\n```py"[: split.num_chars] == "# A\n\ntext\n"
    assert split_closed("") == Split([], [], 0)


@pytest.mark.parametrize("language", ["python", "no-such-language", ""])
def test_highlighting_keeps_the_code(language: str) -> None:
    code = "\n\ndef f():\n\treturn '<&>'  # x"
    assert "".join(text for text, _ in highlight(code, language, LIGHT)) == code


def test_formats(qtbot: QtBot) -> None:
    html = written("**b** *i* `c` ~~s~~ [l](https://e.org)\n\n3. x\n4. y\n\n| a |\n|---|\n| 1 |").toHtml()
    for expected in (
        "font-weight:600",
        "font-style:italic",
        "line-through",
        'href="https://e.org"',
        "<table",
        'start="3"',
    ):
        assert expected in html, expected


def lines(text: str) -> list[str]:
    """What is drawn, line by line; list marks are none."""
    return written(text).toPlainText().split("\n")


def strong_parts(text: str) -> list[str]:
    """What is bold."""
    document = written(text)
    found, block = [], document.begin()
    while block.isValid():
        fragments = block.begin()
        while not fragments.atEnd():
            if fragments.fragment().charFormat().fontWeight() > QFont.Weight.Normal:
                found.append(fragments.fragment().text())
            fragments += 1
        block = block.next()
    return found


def test_single_line_breaks_are_kept(qtbot: QtBot) -> None:
    assert lines("Roses are red,\nviolets are blue\n\n- a\n  b") == ["Roses are red,", "violets are blue", "a", "b"]


@pytest.mark.parametrize("mark", ["- ", "1. ", "> "])
@pytest.mark.parametrize("depth", [10, 29, 200])
def test_nothing_is_too_deep_to_be_shown(qtbot: QtBot, mark: str, depth: int) -> None:
    if mark == "> ":
        text = mark * depth + "deep 0"
    else:
        text = "\n".join(f"{' ' * len(mark) * level}{mark}deep {level}" for level in range(depth))
    shown = written(f"{text}\n\nAnd after it.").toPlainText()
    for number in range(1 if mark == "> " else depth):
        assert f"deep {number}" in shown
    assert shown.endswith("And after it.")


def test_deep_lists_leave_room_for_their_words(qtbot: QtBot) -> None:
    document = written("\n".join(f"{'  ' * level}- word" for level in range(25)))
    document.setTextWidth(380)
    assert document.size().height() < 25 * 40, "no line is broken inside a word"


def test_empty_items_and_items_that_begin_with_a_list_are_counted(qtbot: QtBot) -> None:
    document = written("1. a\n2.\n3. - c\n4. # \n5. e")
    block, numbers = document.begin(), []
    while block.isValid():
        if (held := block.textList()) is not None and held.format().indent() == 1:
            numbers.append(held.format().start() + held.itemNumber(block))
        block = block.next()
    assert numbers == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "bold"),
    [
        ("**「強調」**です", ["「強調」"]),
        ("これは**「引用」**と言う", ["「引用」"]),
        ("**重要：**请注意", ["重要："]),
        ("请**“注意”**这里", ["“注意”"]),
        ("**注意:**请", ["注意:"]),
        ("**스크립트(script)**라고", ["스크립트(script)"]),
        ("2 ** 3 and a ** b**", []),
        ("a**(b)**c", []),  # as CommonMark has it, where spaces tell
    ],
)
def test_bold_beside_punctuation_that_stands_without_spaces(qtbot: QtBot, text: str, bold: list[str]) -> None:
    assert strong_parts(text) == bold


def test_br_breaks_a_line_in_a_table_and_elsewhere(qtbot: QtBot) -> None:
    assert lines("| a |\n|---|\n| one<br>two<br/>three |")[2:5] == ["one", "two", "three"]
    assert lines("one<BR />two<br>\nthree `<br>`") == ["one", "two", "three <br>"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"so \(x^2\) is", "so x2 is"),
        (r"\[x_1 + \alpha\]", "x1 + α"),
        ("\\[\na\n+ b\n\\]\nend", "a + b\nend"),
        (r"$a_1 * b_2 * c$", "a1 * b2 * c"),
        (r"$$\frac{1}{2}$$", "1/2"),
        (r"\[ a \\ b \]", " a \nb "),
        ("- item\n  \\[ y \\]", "item\ny"),
        ("It costs $5, or US$6 and $7", "It costs $5, or US$6 and $7"),
        ("from $HOME to $PATH", "from $HOME to $PATH"),
        (r"`\(x\)` and \*", r"\(x\) and *"),
        ("$$ never closed\n\nend", "$$ never closed\nend"),
    ],
)
def test_mathematics_is_shown_as_mathematics(qtbot: QtBot, text: str, shown: str) -> None:
    assert [line.strip() for line in lines(text)] == [line.strip() for line in shown.split("\n")]


@pytest.mark.parametrize(
    ("latex", "shown"),
    [
        (r"\sqrt{b^2 - 4ac}", "√(b² - 4ac)"),
        (r"\frac{-b \pm 1}{2a}", "(-b ± 1)/(2a)"),
        (r"x \in \mathbb{R}, \lambda, \Omega", "x ∈ ℝ, λ, Ω"),
        (r"\vec{v} \cdot \text{mass}", "v\u20d7 · mass"),
        (r"\unknown{x}", r"\unknown{x}"),
        ("{", ""),
        ("x^", "x^"),
        ("a\\", "a\\"),
    ],
)
def test_formulas_in_unicode(latex: str, shown: str) -> None:
    assert "".join(piece.text for piece in pieces(latex)) == shown


@pytest.mark.parametrize("part", [r"\frac{", "^{", r"\sqrt", r"\hat{", "{", "_"])
def test_formulas_without_end_are_read_to_their_end(part: str) -> None:
    assert pieces(part * 500) is not None


def test_tasks_have_boxes(qtbot: QtBot) -> None:
    document = written("- [ ] open\n- [x] done\n- [link] text\n\n[ ] no item")
    block, found = document.begin(), []
    while block.isValid():
        found.append((block.blockFormat().marker().name, block.text()))
        block = block.next()
    words = [("Unchecked", "open"), ("Checked", "done"), ("NoMarker", "[link] text"), ("NoMarker", "[ ] no item")]
    assert found == words


def test_code_that_streams_in_stays_at_its_beginning(qtbot: QtBot) -> None:
    view = MarkdownView()
    qtbot.addWidget(view)
    view.resize(200, 400)
    view.show()
    text = "```\nfirst\n" + "a long line " * 30 + "\nlast\n"
    for end in range(0, len(text), 7):
        view.show_text(text[:end], LIGHT, is_final=False)
    view.show_text(text, LIGHT, is_final=True)
    QApplication.processEvents()
    (block,) = view._segments
    assert isinstance(block, CodeBlock)
    cursor = block._text.textCursor()
    assert cursor.anchor() == cursor.position() == 0, "the view goes where its cursor is"
    assert block._text.horizontalScrollBar().value() == block._text.verticalScrollBar().value() == 0


def test_a_reference_links_what_was_shown_before_it_came(qtbot: QtBot) -> None:
    view = MarkdownView()
    qtbot.addWidget(view)
    text = "See [the page][1] and [it].\n\n```\n[1]\n```\n\n- [1]\n\n[1]: https://one.org\n[it]: https://two.org\n"
    for end in range(len(text)):
        view.show_text(text[:end], LIGHT, is_final=False)
    view.show_text(text, LIGHT, is_final=True)
    before, code, behind = shown(view)
    assert '"https://one.org"' in before
    assert '"https://two.org"' in before
    assert code == "text: [1]"
    assert '"https://one.org"' in behind


def test_a_footnote_is_read_and_is_no_link(qtbot: QtBot) -> None:
    assert lines("Said[^1].\n\n[^1]: Somewhere\n") == ["Said[^1].", "[^1]: Somewhere"]


@pytest.mark.parametrize(
    "text", ["a\n\n---\nb", "Title\n=", "x\n-", "| a |\n|-", "- a\n-", "> a\nb", "1. a\n2", "```\n``"]
)
def test_a_line_that_is_not_whole_closes_nothing(text: str) -> None:
    last = text.rpartition("\n")[2]
    for behind in ("", "x", "\n", last, f"{last}\n", " x\n\n"):
        whole, split = text + behind, split_closed(text)
        rest = split_closed(whole[split.num_chars :], split.cut, is_final=True)
        assert [one.kind for one in (*split.closed, *rest.closed)] == [one.kind for one in parse(whole)]


def test_a_table_in_a_list_stands_with_its_words(qtbot: QtBot) -> None:
    document = written("- item\n\n  | a |\n  |---|\n  | 1 |\n\n| b |\n|---|\n| 2 |")
    inner, outer = (one for one in document.rootFrame().childFrames() if isinstance(one, QTextTable))
    assert inner.format().toTableFormat().leftMargin() == document.indentWidth()
    assert outer.format().toTableFormat().leftMargin() == 0
