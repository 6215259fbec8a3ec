"""An answer looks the same however it arrived: at once, or cut anywhere."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from pytestqt.qtbot import QtBot

from app.chat.views.answer.code_block import CodeBlock
from app.chat.views.answer.markdown import MarkdownView
from app.look.theme import LIGHT
from app.render import stream
from app.render.markdown import Block, linked, parse
from app.render.stream import NO_CUT, split_closed
from tests.app.render.texts import cuts, documents, prefixes

MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DRAWN = settings(MANY, max_examples=150)


def streamed_blocks(text: str, places: list[float]) -> list[Block]:
    """The blocks of a text that arrives in pieces."""
    blocks: list[Block] = []
    taken, cut = 0, NO_CUT
    for end in (*prefixes(text, places), text):
        split = split_closed(end[taken:], cut, is_final=end is text)
        if split.cut.references != cut.references:
            blocks = [linked(block, split.cut.references) for block in blocks]
        blocks += split.closed
        taken, cut = taken + split.num_chars, split.cut
    assert taken == len(text)
    return blocks


def told(blocks: list[Block]) -> list[object]:
    """What matters of the blocks: everything but the lines they stood in, which pieces count anew."""
    return [
        (
            block.continues,
            block.goes_on,
            [(t.type, t.tag, t.attrs, t.content, t.info, t.children) for t in block.tokens],
        )
        for block in blocks
    ]


def shown(view: MarkdownView) -> list[str]:
    """Everything that shows: each segment as its code, or as the HTML of its document, which carries every format."""
    return [
        f"{one._language.text()}: {one._text.document().toHtml()}"
        if isinstance(one, CodeBlock)
        else re.sub(r"<p[^>]*></p>", "", one.document().toHtml())
        for one in view._segments
    ]


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Cuts in blocks as short as those of the tests."""
    for name in ("LONG_CHARS", "LONG_PARAGRAPH_CHARS", "LONG_TABLE_CHARS", "WINDOW_CHARS"):
        monkeypatch.setattr(stream, name, 24)
    return


def drawn(text: str, places: list[float]) -> list[str]:
    view = MarkdownView()
    try:
        for end in prefixes(text, places):
            view.show_text(end, LIGHT, is_final=False)
        view.show_text(text, LIGHT, is_final=True)
        return shown(view)
    finally:
        view.deleteLater()


@MANY
@given(documents(), cuts())
def test_blocks_are_those_of_the_whole_text(text: str, places: list[float]) -> None:
    assert told(streamed_blocks(text, places)) == told(parse(text))


@MANY
@given(documents(30), cuts())
def test_long_blocks_are_cut_at_the_same_places_however_they_come(
    short_limits: None, text: str, places: list[float]
) -> None:
    assert plain(streamed_blocks(text, places)) == plain(streamed_blocks(text, []))


def plain(blocks: list[Block]) -> list[object]:
    """The blocks, those joined that are drawn as if nothing had been cut: lists and quotes."""
    seamless = ("bullet_list_open", "ordered_list_open", "blockquote_open")
    found: list[object] = []
    for block in blocks:
        tokens = list(block.tokens)
        if block.kind in seamless:
            if block.continues:
                found.pop()
                tokens = tokens[1:]
            tokens[0].attrs.pop("start", None)
            found += told([Block([token]) for token in tokens])
        else:
            found += told([block])
    return found


@DRAWN
@given(documents(), cuts())
def test_what_was_streamed_looks_as_if_it_came_at_once(qtbot: QtBot, text: str, places: list[float]) -> None:
    assert drawn(text, places) == drawn(text, [])


@DRAWN
@given(documents(24), cuts())
@example("> - listed\n>1. no one one\n# Head\n# Head\n# Head", [0.625])
@example("> one one one\n> > deeper\n# Head\n# Head", [0.75])
def test_long_blocks_that_were_streamed_look_as_if_they_came_at_once(
    qtbot: QtBot, short_limits: None, text: str, places: list[float]
) -> None:
    assert drawn(text, places) == drawn(text, [])
