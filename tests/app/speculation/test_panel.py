"""The panel in the window: links both ways, controls that reach the engine, charts that show what is there, exports."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtSvg import QSvgRenderer
from pytestqt.qtbot import QtBot

from app.engine.machine import Machine, parse_machine
from app.engine.protocol import Finished, Round
from app.look.theme import DARK, LIGHT, Palette
from app.speculation.trace import TraceViewModel
from app.speculation.views.charts.acceptance import length_bars, place_bars
from app.speculation.views.charts.axis import RoundAxis
from app.speculation.views.charts.base import Chart
from app.speculation.views.charts.lookahead import LookaheadChart
from app.speculation.views.charts.lookahead import even_top as lookahead_top
from app.speculation.views.charts.timeline import TimelineChart, _short
from app.speculation.views.charts.timeline import even_top as timeline_top
from app.speculation.views.round_card import RoundCard
from app.speculation.views.rounds import TraceRounds
from app.speculation.views.speed import ceiling_words
from app.store.conversation import Answer
from app.tokens.page import TokensPage
from app.tokens.style import PROBABILITY_BANDS, probability_format
from app.window.frame import MainWindow
from tests.app.speculation.rounds import make_round
from tests.app.speculation.test_tally import tree
from tests.app.window.test_frame import ask


@pytest.fixture
def answered(window: MainWindow, qtbot: QtBot) -> MainWindow:
    """An answer with its tokens, and the panel beside it."""
    window.resize(1300, 800)
    window.bar.panel.setChecked(True)
    ask(window, qtbot)
    window.toggle_tokens()
    return window


def asked_of(window: MainWindow) -> list[dict]:
    """What the scripted engine was sent."""
    import urllib.request

    address = window.engine.address
    request = urllib.request.Request(f"{address.url}/requests", headers={"Authorization": f"Bearer {address.api_key}"})
    with urllib.request.urlopen(request, timeout=5) as reply:
        return json.load(reply)["requests"]


def test_a_hovered_token_shows_its_round_and_a_chosen_round_its_tokens(answered: MainWindow, qtbot: QtBot) -> None:
    tokens, panel = answered.chat_view.answers[0].tokens, answered.panel
    tokens._hover(3)
    assert panel.rounds.card._title.text() == "Round 3"
    assert panel.rounds.lookahead.marked == panel.rounds.timeline.marked == 3
    tokens._hover(None)
    assert panel.rounds.lookahead.marked is None
    assert panel.rounds.card._title.text().endswith("the latest")
    answered.toggle_tokens()
    panel.rounds.lookahead.chosen.emit(5)
    assert answered.chat_view.answers[0].switch.index == 1, "the tokens come to the front"
    marked = {tokens.textCursor().document().characterAt(s.cursor.selectionStart()) for s in tokens.extraSelections()}
    assert marked
    assert len(tokens.extraSelections()) == sum(span.round_index == 5 for span in tokens._spans) > 0


def test_a_click_in_a_chart_chooses_the_round_under_it(qtbot: QtBot) -> None:
    chart = LookaheadChart(LIGHT)
    qtbot.addWidget(chart)
    chart.resize(300, 150)
    rounds = [make_round(index, 1, 3) for index in range(20)]
    chart.show_rounds(rounds, 20, is_live=False)
    axis = chart.axis(QRectF(chart.rect()))
    middle = QPointF(axis.left_of(7) + axis.step / 2, 60)
    with qtbot.waitSignal(chart.chosen) as chosen:
        qtbot.mouseClick(chart, Qt.MouseButton.LeftButton, pos=middle.toPoint())
    assert chosen.args == [7]
    assert chart.index_at(QPointF(2, 60)) is None, "on the axis there is no round"


def test_the_rounds_can_be_walked_with_the_keyboard(qtbot: QtBot) -> None:
    trace = TraceViewModel()
    page = TraceRounds(trace, LIGHT)
    qtbot.addWidget(page)
    trace.show(Answer(seed=1, rounds=[make_round(index, 1, 3) for index in range(5)], state="finished"))
    page.refresh()
    trace.pointed.connect(page.point)
    chosen: list[int] = []
    trace.chosen.connect(chosen.append)
    for _ in range(2):
        qtbot.keyClick(page.lookahead, Qt.Key.Key_Left)
    assert trace.pointed_round == 2
    qtbot.keyClick(page.lookahead, Qt.Key.Key_Right)
    qtbot.keyClick(page.lookahead, Qt.Key.Key_Return)
    assert chosen == [3]
    for _ in range(9):
        qtbot.keyClick(page.lookahead, Qt.Key.Key_Right)
    assert trace.pointed_round == 4, "the last one"


def drawn(chart: Chart, palette: Palette, width: int = 300) -> QImage:
    image = QImage(width, chart.height(), QImage.Format.Format_RGB32)
    image.fill(QColor(palette.window))
    painter = QPainter(image)
    chart.draw(painter, QRectF(image.rect()), palette)
    painter.end()
    return image


def share_of(image: QImage, colour: str, area: QRectF) -> float:
    """How much of an area has a colour."""
    found = QColor(colour).rgb()
    xs, ys = range(int(area.left()), int(area.right())), range(int(area.top()), int(area.bottom()))
    return sum(image.pixel(x, y) == found for x in xs for y in ys) / max(1, len(xs) * len(ys))


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=lambda palette: palette.name)
def test_the_lookahead_chart_shows_accepted_ngram_and_parked_rounds(qtbot: QtBot, palette: Palette) -> None:
    chart = LookaheadChart(palette)
    qtbot.addWidget(chart)
    parked = replace(make_round(0, 0, 0), is_parked=True)
    rounds = [*[make_round(0, 4, 4)] * 6, *[parked] * 6, *[replace(make_round(0, 4, 4), drafter="ngram")] * 6]
    chart.show_rounds(rounds, len(rounds), is_live=False)
    image, axis = drawn(chart, palette), chart.axis(QRectF(0, 0, 300, chart.height()))
    thirds = [
        QRectF(axis.left_of(first), axis.plot.top() + 20, 6 * axis.step, axis.plot.height() - 40)
        for first in (0, 6, 12)
    ]
    accepted = [share_of(image, palette.accepted, third) for third in thirds]
    assert accepted[0] > 0.5
    assert accepted[1] == accepted[2] == 0.0, "nothing drafted; and the n-gram's bars are hollow"
    assert share_of(image, palette.raised, thirds[1]) > 0.8, "parked stretches are shaded"
    assert share_of(image, palette.ngram, thirds[2]) > 0.02


def test_the_timeline_stacks_the_parts_of_a_round_and_cuts_off_a_stall(qtbot: QtBot) -> None:
    chart = TimelineChart(LIGHT)
    qtbot.addWidget(chart)
    usual = replace(make_round(0, 1, 2), draft_ms=50.0, verify_ms=50.0, round_ms=100.0)
    stall = replace(usual, verify_ms=60_000.0, round_ms=60_050.0)
    chart.show_rounds([*[usual] * 30, stall], 31, is_live=False)
    image, plot = drawn(chart, LIGHT), chart.plot_area(QRectF(0, 0, 300, chart.height()))
    assert share_of(image, LIGHT.ngram, plot) > 0.15, "one stall does not press the others to the floor"


def test_thousands_of_rounds_share_columns_that_can_be_seen() -> None:
    axis = RoundAxis.over(10_000, QRectF(30, 0, 270, 100), is_live=False)
    columns = axis.columns()
    assert len(columns) <= 135
    assert min(column.width for column in columns[:-1]) >= 2.0
    assert [column.first for column in columns] == [0, *(column.last + 1 for column in columns[:-1])]
    assert columns[-1].last == 9_999
    assert axis.index_at(axis.left_of(777) + axis.step / 2) == 777


def test_bars_say_their_shares() -> None:
    assert [(bar.name, bar.caption) for bar in length_bars([1, 1, 2])] == [("0", "25%"), ("1", "25%"), ("2", "50%")]
    long = length_bars([1] * 14)
    assert (len(long), long[-1].name, long[-1].caption) == (9, "8+", "43%")
    assert length_bars([]) == []
    assert [(bar.name, bar.caption) for bar in place_bars([4, 2], [3, 1])] == [("1", "75%"), ("2", "50%")]


def test_a_tree_is_drawn_as_one(qtbot: QtBot) -> None:
    card = RoundCard(LIGHT)
    qtbot.addWidget(card)
    card.show_round(tree(), LIGHT, is_latest=False)
    lines = card._tokens.toPlainText().splitlines()
    assert [line.split("└")[0].count("\u2003") for line in lines[:4]] == [0, 1, 1, 0]
    assert "c  p 0.50 · q 0.30" in lines[2]
    assert lines[4].strip().startswith("→")


def test_tokens_by_probability_and_without_ghosts(qtbot: QtBot) -> None:
    page = TokensPage(LIGHT)
    qtbot.addWidget(page)
    for index in range(4):
        page.view.append_round(make_round(index, 1, 3))
    with_ghosts = page.view.toPlainText()
    page.ghosts.setChecked(False)
    assert "y" in with_ghosts
    assert "y" not in page.view.toPlainText()
    page.colouring.choose(1)
    assert page.legend.toPlainText().startswith("p 0.9")
    page.colouring.choose(0)
    page.ghosts.setChecked(True)
    assert page.view.toPlainText() == with_ghosts


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=lambda palette: palette.name)
def test_bands_of_probability_differ_in_underline_and_in_tint(palette: Palette) -> None:
    formats = [probability_format(least + 0.01, palette) for least, _, _ in PROBABILITY_BANDS]
    assert len({fmt.underlineStyle() for fmt in formats}) == 4
    assert len({fmt.background().color().name() if i else "" for i, fmt in enumerate(formats)}) == 4


def test_no_ghost_stands_behind_the_answer(qtbot: QtBot) -> None:
    """A draft that was rejected for the end of the text stood in no token's place."""
    page = TokensPage(LIGHT)
    qtbot.addWidget(page)
    page.view.append_round(make_round(0, 1, 1))
    before = page.view.toPlainText()
    ended = make_round(1, 0, 2)
    page.view.append_round(replace(ended, emitted=()))
    assert page.view.toPlainText() == before


def test_a_tooltip_tells_what_both_models_had_in_mind(answered: MainWindow) -> None:
    tokens = answered.chat_view.answers[0].tokens
    told = tokens.tooltip_at(tokens._spans[0].start)
    assert "target: “" in told
    assert "“ perhaps” 0.200" in told


def test_controls_change_the_chat_and_the_toolbar(answered: MainWindow, qtbot: QtBot) -> None:
    controls = answered.panel.controls
    controls.lookahead.setCurrentText("6")
    controls.rule.setCurrentIndex(3)
    controls.threshold.setValue(0.7)
    controls.shape.setCurrentIndex(2)
    settings = answered.chat.settings
    assert (settings.lookahead, settings.acceptance, settings.acceptance_threshold) == (6, "typical", 0.7)
    assert settings.tree == "3x2"
    assert settings.min_acceptance_ratio is None, "what nobody touched is the engine's own"
    assert answered.bar.lookahead.currentText() == "6"
    assert controls._rule_words.text().startswith("Lossy")
    assert controls._told.text() == "Holds from the next answer on."
    ask(answered, qtbot)
    asked = asked_of(answered)[-1]["speculation"]
    assert (asked["lookahead"], asked["acceptance"], asked["acceptance_threshold"]) == (6, "typical", 0.7)
    answered.bar.lookahead.setCurrentText("Auto")
    assert controls.lookahead.currentText() == "Auto", "the toolbar's choice shows in the panel too"


def test_the_heads_that_the_engine_has_can_be_chosen(answered: MainWindow, qtbot: QtBot) -> None:
    drafter, bar = answered.panel.controls.drafter, answered.bar
    offered = [drafter.itemText(index) for index in range(drafter.count())]
    assert offered == ["Auto", "Draft model", "N-gram", "EAGLE head", "None"]
    drafter.setCurrentText("EAGLE head")
    answered.panel.controls.lookahead.setCurrentText("6")
    bar.temperature.setValue(0.1)
    settings = answered.chat.settings
    assert (settings.drafter, settings.lookahead) == ("eagle", 6), "another field of the toolbar leaves the drafter"
    ask(answered, qtbot)
    assert asked_of(answered)[-1]["speculation"]["drafter"] == "eagle"
    answered.panel.controls.lookahead.setCurrentText("Auto")
    assert bar.lookahead.currentText() == "EAGLE head"
    answered.panel.controls.show_drafters(("ngram",))
    assert drafter.currentText() == "EAGLE head", "what is set shows, also where the engine has it no more"
    bar.lookahead.setCurrentText("Off")
    assert drafter.currentText() == "None"


def test_a_change_reaches_the_answer_under_way(window: MainWindow, qtbot: QtBot) -> None:
    window.resize(1300, 800)
    window.bar.panel.setChecked(True)
    window.ask("slow")
    qtbot.waitUntil(lambda: bool(window.chat.conversation.turns[0].answer.text), timeout=5_000)
    controls = window.panel.controls
    controls.lookahead.setCurrentText("5")
    qtbot.waitUntil(lambda: "next round" in controls._told.text() and "Holds" in controls._told.text(), timeout=5_000)
    assert {"request": window.chat.request_id, "lookahead": 5} in asked_of(window)
    controls.lookahead.setCurrentText("13")
    qtbot.waitUntil(lambda: "this answer will not" in controls._told.text(), timeout=5_000)
    window.chat.stop()


def test_the_speed_page_compares_with_plain_decoding_and_with_the_machine(answered: MainWindow, qtbot: QtBot) -> None:
    answered.panel.switch.choose(1)
    speed = answered.panel.speed
    qtbot.waitUntil(lambda: len(speed.bars.values) == 3, timeout=5_000)
    assert [one.name for one in speed.bars.values] == [
        "Plain decoding, measured", "This answer", "Plain decoding's limit here"
    ]  # fmt: skip
    assert speed.bars.values[0].rate == pytest.approx(25.0)
    assert speed.bars.values[2].rate == pytest.approx(50.0)
    assert "400 MB" in speed.ceiling_text.text()
    assert "20.0 GB/s" in speed.ceiling_text.text()


@pytest.mark.parametrize(
    ("stats", "words"),
    [
        ({}, None),
        ({"exactness": "strict", "nearest_tie": None}, "strict"),
        ({"exactness": "strict", "lossless": False}, "lossy: the rule may change them"),
        ({"exactness": "fast", "nearest_tie": 0.00321}, "fast, nearest tie 0.0032"),
        ({"exactness": "fast"}, "fast"),
    ],
)
def test_the_speed_page_tells_whether_rounding_could_decide_a_word(
    answered: MainWindow, stats: dict[str, object], words: str | None
) -> None:
    answered.panel.switch.choose(1)
    assert "words" not in answered.panel.speed.figures(), "an older engine does not say"
    answered.panel.speed._trace.finish(Finished("stop", 1, 1, 1, 0.0, stats))
    assert answered.panel.speed.figures().get("words") == words


@pytest.mark.parametrize("data", [b"", b"[]", b'{"error": {}}', b'{"bandwidth_bytes_per_s": null, "step_bytes": 5}'])
def test_an_engine_that_does_not_tell_the_machine_has_no_limit(data: bytes) -> None:
    assert parse_machine(data).limit is None
    assert ceiling_words(parse_machine(data), 5.0) == ""


def test_past_the_limit_is_explained() -> None:
    assert "past it" in ceiling_words(Machine(10e9, 500_000_000), 30.0)


def test_a_replay_shows_the_tokens_up_to_its_place(answered: MainWindow, qtbot: QtBot) -> None:
    replay, tokens = answered.panel.rounds.replay, answered.chat_view.answers[0].tokens
    replay.seek(4)
    qtbot.waitUntil(lambda: tokens._playhead == 4, timeout=2_000)
    assert tokens.extraSelections()[0].cursor.selectionStart() == next(
        span.start for span in tokens._spans if span.round_index == 4
    )
    answered.panel.rounds.replay_bar.slider.setValue(replay.length)
    qtbot.waitUntil(lambda: tokens._playhead is None, timeout=2_000)


def test_the_replay_is_offered_as_soon_as_the_answer_is_whole(answered: MainWindow) -> None:
    assert answered.panel.rounds.replay_bar.isEnabled()


def test_rounds_are_exported_as_they_came(answered: MainWindow, tmp_path: Path) -> None:
    rounds: list[Round] = answered.chat.conversation.turns[0].answer.rounds
    assert answered.speculation.export(tmp_path / "rounds.json")
    body = json.loads((tmp_path / "rounds.json").read_text(encoding="utf-8"))
    assert [one["round"] for one in body["rounds"]] == list(range(len(rounds)))
    assert body["rounds"][0]["emitted"][0]["target_top"], "with what the window does not draw too"
    assert body["stats"]["speedup"] == 1.42
    assert answered.speculation.export(tmp_path / "rounds.csv")
    lines = list(csv.DictReader(io.StringIO((tmp_path / "rounds.csv").read_text(encoding="utf-8"))))
    assert [int(line["accepted"]) for line in lines] == [one.accepted_count for one in rounds]
    assert "".join(line["text"] for line in lines) == answered.chat.conversation.turns[0].answer.text


def test_the_plot_is_exported_as_a_picture(answered: MainWindow, tmp_path: Path) -> None:
    assert answered.speculation.export(tmp_path / "plot.png")
    image = QImage(str(tmp_path / "plot.png"))
    colours = {image.pixel(x, y) for x in range(0, image.width(), 5) for y in range(0, image.height(), 5)}
    assert QColor(LIGHT.accepted).rgb() in colours
    assert answered.speculation.export(tmp_path / "plot.svg")
    renderer = QSvgRenderer(str(tmp_path / "plot.svg"))
    assert renderer.isValid()
    assert renderer.viewBox().width() * 2 == image.width()


@pytest.mark.parametrize("name", ["rounds.docx", "rounds", "missing/rounds.csv", "missing/plot.png"])
def test_an_export_that_fails_says_so(answered: MainWindow, tmp_path: Path, name: str) -> None:
    assert not answered.speculation.export(tmp_path / name)
    assert answered.banner.isVisible()
    assert Path(name).name in answered.banner.problem.title


@pytest.mark.parametrize("most", range(40))
def test_the_ticks_of_the_lookahead_are_evenly_spaced(most: int) -> None:
    top = lookahead_top(most)
    assert top >= max(4, most)
    assert top % 2 == 0, "0, half, top: whole numbers all three"


@pytest.mark.parametrize("milliseconds", [0.04, 1.0, 7.31, 19.95, 20.1, 25.0, 101.3, 999.5, 1000.0, 1234.5])
def test_the_ticks_of_the_timeline_say_what_they_stand_at(milliseconds: float) -> None:
    top = timeline_top(milliseconds)
    assert milliseconds <= top <= max(1.2 * milliseconds, 0.2)
    half, whole = (float(_short(part, top)) for part in (top / 2, top))
    assert whole == pytest.approx(2 * half)
