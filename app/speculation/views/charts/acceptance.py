"""A few labelled bars: how many rounds accepted how many tokens, how often each place of a chain was accepted."""

from dataclasses import dataclass

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QWidget

from app.look.theme import Palette
from app.look.typography import body_font, scaled
from app.speculation.views.charts.bars import Bars
from app.speculation.views.charts.base import FOOT_PX, LABEL_PX

HEIGHT_PX = 92
MOST_BARS = 9
CAPTION_PX = 15
MOST_STEP_PX = 56.0
GAP_PX = 5.0


@dataclass(frozen=True, slots=True)
class Bar:
    """`part` of the full height, `name` below it, `caption` above it."""

    name: str
    part: float
    caption: str


class BarChart(Bars[Bar]):
    """Upright bars with words at either end, so that no axis is needed."""

    def __init__(self, name: str, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(name, HEIGHT_PX, palette, parent)

    def words(self, value: Bar) -> str:
        """Its two ends."""
        return f"{value.name}: {value.caption}"

    def draw(self, painter: QPainter, area: QRectF, palette: Palette) -> None:
        """The bars."""
        caption_px, foot_px = scaled(CAPTION_PX), scaled(FOOT_PX)
        plot = area.adjusted(0, caption_px, 0, -foot_px)
        painter.fillRect(QRectF(plot.left(), plot.bottom(), plot.width(), 1), QColor(palette.border))
        if not self.values:
            return
        step = min(plot.width() / len(self.values), MOST_STEP_PX)
        painter.setFont(body_font(LABEL_PX))
        for number, bar in enumerate(self.values):
            left = plot.left() + number * step
            height = max(1.0, bar.part * plot.height())
            painter.fillRect(
                QRectF(left + GAP_PX, plot.bottom() - height, step - 2 * GAP_PX, height), QColor(palette.accepted)
            )
            painter.setPen(QColor(palette.muted))
            above = QRectF(left - 4, plot.bottom() - height - caption_px, step + 8, caption_px)
            below = QRectF(left - 4, plot.bottom() + 2, step + 8, foot_px - 2)
            painter.drawText(above, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignBottom, bar.caption)
            painter.drawText(below, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop, bar.name)


def length_bars(accepted_lengths: list[int]) -> list[Bar]:
    """How many rounds accepted 0, 1, 2, … drafts, as shares of the rounds that drafted; long ones together."""
    counts = accepted_lengths[:]
    total, most = sum(counts), max(counts, default=0)
    names = [str(length) for length in range(len(counts))]
    if len(counts) > MOST_BARS:
        counts = [*counts[: MOST_BARS - 1], sum(counts[MOST_BARS - 1 :])]
        names, most = [*names[: MOST_BARS - 1], f"{MOST_BARS - 1}+"], max(counts)
    return [Bar(name, count / most, f"{count / total:.0%}") for name, count in zip(names, counts, strict=True) if total]


def place_bars(tested_at: list[int], accepted_at: list[int]) -> list[Bar]:
    """Of the drafts tested in each place of a chain, the share that was accepted."""
    shares = [accepted / tested for tested, accepted in zip(tested_at, accepted_at, strict=True) if tested]
    return [Bar(str(place + 1), share, f"{share:.0%}") for place, share in enumerate(shares[:MOST_BARS])]
