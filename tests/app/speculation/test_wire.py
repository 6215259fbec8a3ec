"""The wire between machines: told by the engine as a part of verifying, and drawn as one of its own."""

from dataclasses import replace

import pytest
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from app.engine.protocol import parse_round
from app.look.theme import DARK, LIGHT, Palette
from app.speculation.export import COLUMNS, rounds_to_csv
from app.speculation.tally import Tally
from app.speculation.views.charts.key import timeline_key
from app.speculation.views.charts.timeline import TimelineChart
from app.speculation.views.round_card import RoundCard
from tests.app.speculation.rounds import make_round

pytestmark = pytest.mark.gui
ALONE = [make_round(index, 1, 2) for index in range(8)]
SPLIT = [replace(one, wire_ms=50.0) for one in ALONE]  # of the 80 ms of verifying


def drawn(qtbot: QtBot, palette: Palette, wire: bool) -> QImage:
    chart = TimelineChart(palette)
    qtbot.addWidget(chart)
    chart.resize(300, 112)
    chart.show_rounds(SPLIT if wire else ALONE, 8, is_live=False)
    return chart.grab().toImage()


def test_it_is_read_and_an_older_engine_tells_none() -> None:
    words = '{"round": 0, "lookahead": 1, "drafted": [], "emitted": [], "verify_ms": 9.0'
    assert parse_round(words + ', "wire_ms": 4.5}').own_verify_ms == 4.5
    assert parse_round(words + "}").wire_ms == parse_round(words + ', "wire_ms": null}').wire_ms == 0.0


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_it_is_a_part_of_its_own_in_the_timeline(qtbot: QtBot, palette: Palette) -> None:
    alone, split = drawn(qtbot, palette, False), drawn(qtbot, palette, True)
    assert alone != split
    x = 150
    verifying = palette.ngram.lower()
    heights = [sum(one.pixelColor(x, y).name() == verifying for y in range(112)) for one in (alone, split)]
    assert heights[1] < 0.5 * heights[0], "what went over the wire is not drawn as verifying"


def test_the_key_names_it_where_there_is_some() -> None:
    assert "wire" not in timeline_key(LIGHT)
    assert "wire" in timeline_key(LIGHT, has_wire=True)


def test_the_card_the_sums_and_the_table_have_it(qtbot: QtBot) -> None:
    card = RoundCard(LIGHT)
    qtbot.addWidget(card)
    card.show_round(SPLIT[0], LIGHT, is_latest=True)
    assert "verify 30 ms · wire 50 ms · draft 10 ms" in card._cost.text()
    card.show_round(ALONE[0], LIGHT, is_latest=True)
    assert "wire" not in card._cost.text()
    tally = Tally.of(SPLIT)
    assert (tally.wire_ms, tally.verify_ms, tally.host_ms) == (400.0, 640.0, 80.0)
    assert rounds_to_csv(SPLIT[:1]).splitlines()[1].split(",")[COLUMNS.index("wire_ms")] == "50.000"
