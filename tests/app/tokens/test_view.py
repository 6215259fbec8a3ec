"""The tokens view: order, styles and costs."""

from dataclasses import replace

import pytest
from PySide6.QtGui import QTextCursor
from pytestqt.qtbot import QtBot

from app.engine.protocol import TOKEN_KINDS, DraftedToken, EmittedToken, Round
from app.look.theme import DARK, LIGHT, Palette
from app.tokens.style import TOKEN_STYLES, ghost_format, token_format
from app.tokens.view import PARAGRAPH_TOKENS, TokensView, visible_text
from tests.app.speculation.rounds import make_round

ONE = Round(
    3, 4, 5,
    drafted=(DraftedToken(" a", 0.41, 0.52, "accepted"), DraftedToken(" small", 0.03, 0.29, "rejected"),
             DraftedToken("…", None, 0.8, "untested")),
    emitted=(EmittedToken(" a", "accepted", 0.41, 0.52, 57), EmittedToken(" large", "correction", 0.33, None, 58)),
)  # fmt: skip


@pytest.fixture
def view(qtbot: QtBot) -> TokensView:
    view = TokensView(LIGHT)
    qtbot.addWidget(view)
    view.resize(600, 400)
    return view


def test_a_ghost_stands_where_it_was_rejected(view: TokensView) -> None:
    view.append_round(ONE)
    assert view.toPlainText().split() == ["a", "small", "large"]
    cursor = QTextCursor(view.document())
    cursor.setPosition(view.toPlainText().index("small") + 1)
    assert cursor.charFormat().fontStrikeOut()
    cursor.setPosition(view.toPlainText().index("large") + 1)
    assert not cursor.charFormat().fontStrikeOut()


def test_only_an_emitted_line_break_breaks_the_line(view: TokensView) -> None:
    drafted = (DraftedToken("\n", 0.1, 0.5, "rejected"),)
    view.append_round(Round(0, 1, 1, drafted, (EmittedToken(" no", "correction", 0.4, None, 1),)))
    assert "\n" not in view.toPlainText()
    view.append_round(Round(1, 0, 1, (), (EmittedToken(".\n", "plain", 0.4, None, 2),)))
    view.append_round(Round(2, 0, 1, (), (EmittedToken("New", "plain", 0.4, None, 3),)))
    assert view.toPlainText().splitlines()[-1] == "New"


def test_tooltips_tell_p_q_round_and_position(view: TokensView) -> None:
    view.append_round(ONE)
    text = view.toPlainText()
    assert (
        view.tooltip_at(text.index("large"))
        == "“ large”  correction · round 3 · position 58\ntarget p 0.330 · draft q –"
    )
    assert "rejected draft · round 3" in view.tooltip_at(text.index("small"))
    assert "q 0.290" in view.tooltip_at(text.index("small"))
    assert view.tooltip_at(text.index(" large")) == ""


def test_tooltips_tell_who_drafted_and_why_so_many(view: TokensView) -> None:
    view.append_round(replace(ONE, drafter="ngram", reason="1.40x plain expected"))
    plain = (EmittedToken(" end", "plain", 0.4, None, 59),)
    view.append_round(Round(4, 0, 0, (), plain, reason="parked: 0.85x plain expected with 2 drafted"))
    text = view.toPlainText()
    for word in ("a", "small", "large"):
        assert view.tooltip_at(text.index(word)).endswith("\nN-gram · 1.40× plain expected")
    assert view.tooltip_at(text.index("end")).endswith("\nparked: 0.85× plain expected with 2 drafted")


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=lambda palette: palette.name)
def test_kinds_differ_in_colour_and_in_underline(palette: Palette) -> None:
    formats = [token_format(kind, palette) for kind in TOKEN_KINDS]
    assert len({fmt.underlineStyle() for fmt in formats}) == len(TOKEN_STYLES) == 4
    assert len({fmt.underlineColor().name() for fmt in formats}) == 4
    assert ghost_format(palette).fontStrikeOut()


@pytest.mark.parametrize(("text", "expected"), [("", "·"), ("  ", "␣␣"), ("\n", "↵"), (" a\tb", " a⇥b"), ("é", "é")])
def test_what_cannot_be_seen_is_made_visible(text: str, expected: str) -> None:
    assert visible_text(text) == expected


def test_paragraphs_stay_short_and_rounds_cheap(view: TokensView) -> None:
    """2,000 tokens took 5 s one by one in one paragraph, and 0.1 s a round at a time in short ones."""
    changes: list[int] = []
    view.document().contentsChange.connect(lambda at, removed, added: changes.append(added))
    for index in range(250):
        view.append_round(make_round(index, num_accepted=7, num_drafted=8))
    assert view.document().blockCount() >= 2_000 // (PARAGRAPH_TOKENS + 21)
    assert len(changes) <= 250, "a round is one change"


def plain_round(index: int, *texts: str) -> Round:
    return Round(index, 0, len(texts), (), tuple(EmittedToken(text, "plain", 0.4, None, 0) for text in texts))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("def f():\n   ", " return"), ["def f():↵", "␣␣␣ return"]),
        (("def f():\n", "    return"), ["def f():↵", "    return"]),
        (("def f():", "\n", "   ", " return"), ["def f():↵", "␣␣␣ return"]),
        (("a\n\n    b",), ["a↵↵", "    b"]),
        (("a\n\t", "\tb"), ["a↵", "⇥\u2003⇥\u2003b"]),
        (("a\r\n    ", "b"), ["a↵", "␣␣␣␣b"]),
        (("    first",), ["    first"]),
    ],
)
def test_an_indent_is_as_wide_as_it_is(view: TokensView, texts: tuple[str, ...], expected: list[str]) -> None:
    view.append_round(plain_round(0, *texts))
    assert view.toPlainText().split("\n") == expected


def test_an_indent_stays_where_a_paragraph_of_tokens_ends_in_it(view: TokensView) -> None:
    view.append_round(plain_round(0, *["a"] * (PARAGRAPH_TOKENS - 2), ":\n", "   ", " return", " x"))
    assert view.document().blockCount() == 2
    assert view.toPlainText().replace("\n", "").endswith("␣␣␣ return x")
