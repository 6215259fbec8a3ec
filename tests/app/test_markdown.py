"""Markdown streams into documents: no markup gets through, and the end is the same however it arrived."""

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QTextDocument
from pytestqt.qtbot import QtBot

from app.render.code import highlight
from app.render.document_writer import DocumentWriter
from app.render.markdown import parse
from app.render.stream import Split, split_closed
from app.theme import LIGHT
from app.views.code_block import CodeBlock
from app.views.flow_text import FlowText
from app.views.markdown_view import MarkdownView
from app.views.text_segment import TextSegment
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
    monkeypatch.setattr("app.views.flow_text.QDesktopServices.openUrl", opened.append)
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
