"""Both palettes can be read, and the right one is used."""

import pytest
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from app.look.stylesheet import build_stylesheet
from app.look.theme import DARK, DARK_HIGH, LIGHT, LIGHT_HIGH, Palette, Theme, contrast

TEXTS = ["text", "muted", "accent", "danger", "accepted", "correction", "bonus", "ngram", "plain", "ghost"]
TEXTS += ["code_comment", "code_keyword", "code_name", "code_string", "code_number"]
GROUNDS = ("window", "surface", "raised")
PAIRS = [
    *((text, ground) for text in TEXTS for ground in GROUNDS),
    *((name, f"{name}_tint") for name in ("accepted", "correction", "bonus")),
    ("on_accent", "accent"), ("on_accent", "accent_hover"), ("text", "selection"), ("text", "notice"),
    ("accent", "notice"), ("text", "hover"), ("muted", "hover"), ("ghost", "selection"), ("correction", "selection"),
    ("bonus", "selection"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("palette", "least"), [(LIGHT, 4.5), (DARK, 4.5), (LIGHT_HIGH, 7.0), (DARK_HIGH, 7.0)],
    ids=["light", "dark", "light high", "dark high"],
)  # fmt: skip
def test_text_can_be_read(palette: Palette, least: float) -> None:
    ratios = {f"{a} on {b}": contrast(getattr(palette, a), getattr(palette, b)) for a, b in PAIRS}
    too_low = {pair: round(ratio, 2) for pair, ratio in ratios.items() if ratio < least}
    assert not too_low


# Okabe and Ito, "Color Universal Design", 2008.
OKABE_ITO = {
    "accepted": "#009E73", "correction": "#E69F00", "bonus": "#CC79A7", "ngram": "#0072B2", "ghost": "#D55E00",
}  # fmt: skip


@pytest.mark.parametrize("palette", [LIGHT, DARK, LIGHT_HIGH, DARK_HIGH])
def test_provenance_has_the_hues_of_okabe_and_ito(palette: Palette) -> None:
    apart = {name: abs(QColor(getattr(palette, name)).hue() - QColor(own).hue()) for name, own in OKABE_ITO.items()}
    assert max(apart.values()) <= 8, apart


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


def test_a_choice_overrides_the_system(qtbot: QtBot) -> None:
    theme = Theme("dark")
    assert theme.palette is DARK
    with qtbot.waitSignal(theme.changed) as changed:
        theme.choose("light")
    assert changed.args == [LIGHT]
    theme.choose("system")
    assert theme.palette is LIGHT


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=lambda palette: palette.name)
def test_the_style_sheet_leaves_no_placeholder(palette: Palette) -> None:
    assert "$" not in build_stylesheet(palette)
