"""A chart over the rounds of an answer: which of them it shows, which one is marked, where the replay stands."""

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from app.engine.protocol import Round
from app.look.theme import Palette
from app.speculation.views.charts.axis import RoundAxis
from app.speculation.views.charts.base import Chart


class TraceChart(Chart):
    """Draws what its subclasses draw for each round, over a shared axis."""

    def __init__(self, name: str, height: int, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(name, height, palette, parent)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.rounds: Sequence[Round] = ()
        self.num_shown = 0
        self.is_live = False
        self.marked: int | None = None

    def show_rounds(self, rounds: Sequence[Round], num_shown: int, *, is_live: bool) -> None:
        """Show the rounds; those behind the first `num_shown` are yet to come in the replay, and are faint."""
        self.rounds, self.num_shown, self.is_live = rounds, num_shown, is_live
        self.update()

    def mark(self, index: int | None) -> None:
        """Mark one round, or none."""
        if index != self.marked:
            self.marked = index
            self.update()

    def axis(self, area: QRectF) -> RoundAxis:
        """Where the rounds stand."""
        return RoundAxis.over(len(self.rounds), self.plot_area(area), is_live=self.is_live)

    def index_at(self, point: QPointF) -> int | None:
        """The round under the pointer."""
        return self.axis(QRectF(self.rect())).index_at(point.x())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right point at the round beside, Enter chooses it."""
        last = self.num_shown - 1
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        if step is not None and last >= 0:
            self.pointed.emit(max(0, min(last, (last if self.marked is None else self.marked) + step)))
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.marked is not None:
            self.chosen.emit(self.marked)
        else:
            super().keyPressEvent(event)

    def draw_mark(self, painter: QPainter, axis: RoundAxis, palette: Palette) -> None:
        """A stripe behind the marked round."""
        if self.marked is not None and axis.first <= self.marked < axis.first + axis.count:
            width = max(axis.step, 3.0)
            middle = axis.left_of(self.marked) + axis.step / 2
            stripe = QRectF(middle - width / 2, axis.plot.top() - 4, width, axis.plot.height() + 4)
            painter.fillRect(stripe, QColor(palette.selection))

    def draw_horizon(self, painter: QPainter, axis: RoundAxis, palette: Palette) -> None:
        """A veil over what the replay has not reached, and a line where it stands."""
        if self.num_shown >= len(self.rounds):
            return
        x = axis.left_of(self.num_shown)
        veil = QColor(palette.window)
        veil.setAlpha(190)
        painter.fillRect(QRectF(x, axis.plot.top() - 4, axis.plot.right() - x + 4, axis.plot.height() + 5), veil)
        painter.setPen(QPen(QColor(palette.text), 1.5))
        painter.drawLine(QPointF(x, axis.plot.top() - 4), QPointF(x, axis.plot.bottom()))

    def paintEvent(self, event: QPaintEvent) -> None:
        """The chart, and a frame while the keyboard is with it."""
        super().paintEvent(event)
        if self.hasFocus():
            painter = QPainter(self)
            painter.setPen(QPen(QColor(self._palette.accent), 1))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
            painter.end()
