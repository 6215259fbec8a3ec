"""The plot of lookahead and accepted length by round. Import it late: pyqtgraph takes half a second."""

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtGui import QColor, QEnterEvent
from PySide6.QtWidgets import QWidget

from app.protocol import Round
from app.theme import Palette
from app.typography import body_font

LIVE_ROUNDS = 48  # as many bars as can be told apart in the panel
# Parts of the plot's height: the lane under the bars, where rounds of the n-gram and parked ones are marked.
LANE = 0.12
LANE_MARKS = 0.065


class TracePlot(pg.PlotWidget):
    """Bars: drafted tokens accepted, hollow where the n-gram drafted. Steps: how far the engine looked ahead.

    In the lane below the bars a diamond marks a round of the n-gram, and a dash a parked one.

    Signals:
        round_hovered: the index in the list of the round under the pointer.
    """

    round_hovered = Signal(int)

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent, background=None)
        self.setAccessibleName("Lookahead and accepted length by round")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMouseEnabled(x=False, y=False)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setFrameShape(self.Shape.NoFrame)
        self._bars = pg.BarGraphItem(x=[], height=[], width=0.72)
        self._ngram_bars = pg.BarGraphItem(x=[], height=[], width=0.72)
        self._ngram_marks = pg.ScatterPlotItem(symbol="d", size=6)
        self._parked = pg.PlotCurveItem(connect="pairs")
        self._steps = pg.PlotCurveItem(fillLevel=0)
        self._mark = pg.LinearRegionItem(movable=False)
        self._mark.setZValue(-10)
        for item in (self._mark, self._steps, self._bars, self._ngram_bars, self._parked, self._ngram_marks):
            self.addItem(item)
        self._mark.hide()
        self._num_rounds = 0
        self.scene().sigMouseMoved.connect(self._on_moved)
        self.wear(palette)

    def wear(self, palette: Palette) -> None:
        """Put on other colours."""
        self._bars.setOpts(brush=QColor(palette.accent), pen=pg.mkPen(None))
        hollow = pg.mkPen(QColor(palette.ngram), width=1.5)
        self._ngram_bars.setOpts(pen=hollow, brush=QColor(palette.window))
        self._ngram_marks.setPen(hollow)
        self._ngram_marks.setBrush(QColor(palette.window))
        self._parked.setPen(pg.mkPen(QColor(palette.muted), width=2))
        self._steps.setPen(pg.mkPen(QColor(palette.muted), width=1.5))
        self._steps.setBrush(QColor(palette.accepted_tint))
        self._mark.setBrush(QColor(palette.hover))
        for line in self._mark.lines:
            line.setPen(pg.mkPen(None))
        for side in ("left", "bottom"):
            axis = self.getAxis(side)
            axis.setPen(pg.mkPen(QColor(palette.border)))
            axis.setTextPen(QColor(palette.muted))
            axis.setStyle(tickLength=0, tickFont=body_font(11), tickTextOffset=6)
        self.getAxis("left").setWidth(26)
        self.getAxis("left").setTickSpacing(4, 2)

    def show_rounds(self, rounds: list[Round], *, is_live: bool) -> None:
        """Show the rounds: the newest while it is live, all of them afterwards."""
        self._num_rounds = len(rounds)
        numbers = np.arange(len(rounds), dtype=float)
        accepted = np.array([one.accepted_count for one in rounds], dtype=float)
        lookahead = np.array([one.lookahead for one in rounds], dtype=float)
        top = max(4.0, float(lookahead.max(initial=0)), float(accepted.max(initial=0))) + 0.6
        by_ngram = np.array([one.drafter == "ngram" for one in rounds], dtype=bool)
        is_parked = np.array([one.is_parked for one in rounds], dtype=bool)
        self._bars.setOpts(x=numbers[~by_ngram], height=accepted[~by_ngram])
        self._ngram_bars.setOpts(x=numbers[by_ngram], height=accepted[by_ngram])
        self._mark_lane(numbers, by_ngram, is_parked, -LANE_MARKS * top)
        if len(rounds):
            # Each step spans its round: x has one value more than y.
            self._steps.setData(np.append(numbers, len(rounds)) - 0.5, lookahead, stepMode="center")
        else:
            self._steps.setData([], [], stepMode=None)
        first = max(0, len(rounds) - LIVE_ROUNDS) if is_live else 0
        self.setXRange(first - 0.5, max(first + 12, len(rounds)) - 0.5, padding=0.01)
        has_lane = bool(by_ngram.any() or is_parked.any())
        self.setYRange(-LANE * top if has_lane else 0.0, top, padding=0)

    def _mark_lane(self, numbers: np.ndarray, by_ngram: np.ndarray, is_parked: np.ndarray, height: float) -> None:
        """Diamonds and dashes at `height`; the dashes of neighbours touch, and are one line."""
        marked = numbers[by_ngram]
        self._ngram_marks.setData(marked, np.full(len(marked), height))
        ends = (numbers[is_parked][:, None] + np.array([-0.5, 0.5])).ravel()
        self._parked.setData(ends, np.full(len(ends), height))

    def mark(self, index: int | None) -> None:
        """Mark one round, or none."""
        self._mark.setVisible(index is not None)
        if index is not None:
            self._mark.setRegion((index - 0.5, index + 0.5))

    def _on_moved(self, point: QPointF) -> None:
        index = round(self.getPlotItem().vb.mapSceneToView(point).x())
        if 0 <= index < self._num_rounds:
            self.round_hovered.emit(index)

    def leaveEvent(self, event: QEnterEvent) -> None:
        """Nothing is under the pointer any more."""
        super().leaveEvent(event)
        self.round_hovered.emit(-1)
