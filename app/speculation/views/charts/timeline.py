"""Where each round's time went: drafting, verifying, and what the host did besides."""

import math

from PySide6.QtCore import QCoreApplication, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter
from PySide6.QtWidgets import QWidget

from app.look.theme import Palette
from app.speculation.views.charts.axis import Column, shared
from app.speculation.views.charts.rounds import TraceChart

HEIGHT_PX = 112
GAP_SHARE = 0.14
COMMON_SHARE = 0.95  # a stall of the machine must not press all other rounds to the floor
STALL_FACTOR = 1.6


class TimelineChart(TraceChart):
    """Stacked bars, in milliseconds, from below: verify (full), the wire between machines (crossed), draft (dotted),
    host (hatched).

    A round far slower than the others is cut off at the top.
    """

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        name = QCoreApplication.translate("TimelineChart", "Time of each round: verify, wire, draft, host")
        super().__init__(name, HEIGHT_PX, palette, parent)

    def draw(self, painter: QPainter, area: QRectF, palette: Palette) -> None:
        """The whole chart."""
        axis = self.axis(area)
        top = even_top(_common_top([one.round_ms for one in self.rounds[axis.first : axis.first + axis.count]]))
        ticks = {0.0: "0", 0.5: _short(top / 2, top), 1.0: _short(top, top)}
        self.draw_axis(painter, axis.plot, ticks, palette)
        self.draw_mark(painter, axis, palette)
        painter.setClipRect(axis.plot.adjusted(-1, -1, 1, 1))
        for column in axis.columns():
            self._draw_stack(painter, column, axis.plot, top, palette)
        self.draw_horizon(painter, axis, palette)
        painter.setClipping(False)
        self.draw_feet(
            painter,
            axis.plot,
            self.tr("seconds of each round") if top >= 1000 else self.tr("milliseconds of each round"),
            "",
            palette,
        )

    def _draw_stack(self, painter: QPainter, column: Column, plot: QRectF, top: float, palette: Palette) -> None:
        rounds = shared(self.rounds, column)
        gap = GAP_SHARE * column.width if column.width > 4 else 0.0
        y = plot.bottom()
        parts = (
            (sum(one.own_verify_ms for one in rounds), QBrush(QColor(palette.ngram))),
            (sum(one.wire_ms for one in rounds), QBrush(QColor(palette.bonus), Qt.BrushStyle.DiagCrossPattern)),
            (sum(one.draft_ms for one in rounds), QBrush(QColor(palette.correction), Qt.BrushStyle.Dense3Pattern)),
            (sum(one.host_ms for one in rounds), QBrush(QColor(palette.muted), Qt.BrushStyle.BDiagPattern)),
        )
        for milliseconds, brush in parts:
            height = milliseconds / len(rounds) / top * plot.height()
            y -= height
            painter.fillRect(QRectF(column.left + gap, y, column.width - 2 * gap, height), brush)


def _common_top(times: list[float]) -> float:
    """The height of the plot in milliseconds: all rounds, but for the few that took far longer than the others."""
    if not times:
        return 1.0
    ordered = sorted(times)
    common = ordered[min(len(ordered) - 1, int(COMMON_SHARE * len(ordered)))]
    return max(1e-3, min(ordered[-1], STALL_FACTOR * common))


def even_top(milliseconds: float) -> float:
    """The height rounded up so far that its label and that of its half say no more than they hold."""
    step = 200.0 if milliseconds >= 1000 else 2.0 if milliseconds >= 20 else 0.2
    return step * math.ceil(milliseconds / step - 1e-9)


def _short(milliseconds: float, top: float) -> str:
    """A tick in the unit that suits the highest one."""
    if top >= 1000:
        return f"{milliseconds / 1000:.1f}"
    return f"{milliseconds:.0f}" if top >= 20 else f"{milliseconds:.1f}"
