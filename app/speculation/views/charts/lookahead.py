"""How far the engine looked ahead, round by round, and how much of that was accepted."""

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPainterPath, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from app.engine.protocol import Round
from app.look.theme import Palette
from app.speculation.views.charts.axis import Column, RoundAxis, shared
from app.speculation.views.charts.rounds import TraceChart

HEIGHT_PX = 150
LANE_PX = 8.0  # under the bars, where diamonds mark the rounds of the n-gram
GAP_SHARE = 0.14


class LookaheadChart(TraceChart):
    """Bars: drafted tokens accepted, hollow and with a diamond where the n-gram drafted. Steps: how far the engine
    looked ahead. Hatched: parked rounds."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(
            QCoreApplication.translate("LookaheadChart", "Lookahead and accepted tokens by round"),
            HEIGHT_PX,
            palette,
            parent,
        )

    def show_rounds(self, rounds: Sequence[Round], num_shown: int, *, is_live: bool) -> None:
        """Show them, and say in words what they are like."""
        super().show_rounds(rounds, num_shown, is_live=is_live)
        if rounds:
            last = rounds[-1]
            words = self.tr("{0} rounds; in the latest, {1} of {2} drafts accepted").format(
                len(rounds), last.accepted_count, len(last.drafted)
            )
            self.setAccessibleDescription(words)

    def draw(self, painter: QPainter, area: QRectF, palette: Palette) -> None:
        """The whole chart."""
        axis = self.axis(area)
        plot = axis.plot.adjusted(0, 0, 0, -LANE_PX)
        window = self.rounds[axis.first : axis.first + axis.count]
        top = even_top(max((max(one.lookahead, one.accepted_count) for one in window), default=0))
        ticks = {0.0: "0", 0.47: str(top // 2), 0.94: str(top)}
        self.draw_axis(painter, plot, ticks, palette)
        unit = 0.94 * plot.height() / top
        columns = axis.columns()
        self._draw_parked(painter, axis, palette)
        self.draw_mark(painter, axis, palette)
        self._draw_steps(painter, columns, plot, unit, palette)
        for column in columns:
            self._draw_bar(painter, column, plot, unit, palette)
        self.draw_horizon(painter, axis, palette)
        if axis.count:
            last = str(axis.first + axis.count - 1)
            self.draw_feet(painter, axis.plot, self.tr("round {0}").format(axis.first), last, palette)

    def _draw_parked(self, painter: QPainter, axis: RoundAxis, palette: Palette) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        shade, hatch = QColor(palette.raised), QBrush(QColor(palette.muted), Qt.BrushStyle.BDiagPattern)
        start: int | None = None
        for index in range(axis.first, axis.first + axis.count + 1):
            is_parked = index < axis.first + axis.count and self.rounds[index].is_parked
            if is_parked and start is None:
                start = index
            elif not is_parked and start is not None:
                left = axis.left_of(start)
                stretch = QRectF(left, axis.plot.top(), axis.left_of(index) - left, axis.plot.height())
                painter.fillRect(stretch, shade)
                painter.fillRect(QRectF(left, axis.plot.bottom() - LANE_PX, stretch.width(), LANE_PX), hatch)
                start = None

    def _draw_steps(
        self, painter: QPainter, columns: list[Column], plot: QRectF, unit: float, palette: Palette
    ) -> None:
        if not columns:
            return
        path = QPainterPath()
        for number, column in enumerate(columns):
            y = plot.bottom() - unit * max(one.lookahead for one in shared(self.rounds, column))
            left = QPointF(column.left, y)
            if number:
                path.lineTo(left)
            else:
                path.moveTo(left)
            path.lineTo(column.left + column.width, y)
        painter.setPen(QPen(QColor(palette.muted), 1.4))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPath(path)

    def _draw_bar(self, painter: QPainter, column: Column, plot: QRectF, unit: float, palette: Palette) -> None:
        """A column of several rounds shows their mean."""
        rounds = shared(self.rounds, column)
        height = unit * sum(one.accepted_count for one in rounds) / len(rounds)
        gap = GAP_SHARE * column.width if column.width > 4 else 0.0
        bar = QRectF(column.left + gap, plot.bottom() - height, column.width - 2 * gap, height)
        if any(one.drafter == "ngram" for one in rounds):
            painter.setPen(QPen(QColor(palette.ngram), 1.4))
            painter.setBrush(QColor(palette.window))
            if height:
                painter.drawRect(bar)
            if column.width > 4:
                painter.drawPolygon(_diamond(QPointF(column.middle, plot.bottom() + LANE_PX / 2 + 0.5)))
        elif height:
            painter.fillRect(bar, QColor(palette.accepted))


def even_top(most: int) -> int:
    """The axis' highest tick: even, so that the one in its middle is a whole number too."""
    return max(4, most + most % 2)


def _diamond(middle: QPointF, radius: float = 3.0) -> QPolygonF:
    x, y = middle.x(), middle.y()
    return QPolygonF([QPointF(x, y - radius), QPointF(x + radius, y), QPointF(x, y + radius), QPointF(x - radius, y)])
