"""What all charts of the panel share: drawn by hand, in well under a millisecond, on a screen or into a picture."""

from abc import abstractmethod

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.look.theme import Palette
from app.look.typography import body_font, scaled

AXIS_PX = 30
FOOT_PX = 18
LABEL_PX = 11


class Chart(QWidget):
    """A plot with an axis at its left and words below. `accessibleDescription` says in words what it shows.

    Signals:
        pointed: the index of what is under the pointer, None for nothing.
        chosen: the index of what was clicked on.
    """

    pointed = Signal(object)
    chosen = Signal(int)

    def __init__(self, name: str, height: int, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.base_height = height  # at the usual font size
        self.setFixedHeight(scaled(height))
        self.setMouseTracking(True)
        self._palette = palette

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        self.setFixedHeight(scaled(self.base_height))
        self.update()

    @abstractmethod
    def draw(self, painter: QPainter, area: QRectF, palette: Palette) -> None:
        """Draw the chart into `area`, with any painter."""

    def index_at(self, point: QPointF) -> int | None:
        """The index of what is at a point of the widget; nothing unless a chart says otherwise."""
        return None

    @staticmethod
    def plot_area(area: QRectF) -> QRectF:
        """Where the shapes go: what the axis and the words leave."""
        return area.adjusted(scaled(AXIS_PX), 6, -4, -scaled(FOOT_PX))

    @staticmethod
    def draw_axis(painter: QPainter, plot: QRectF, ticks: dict[float, str], palette: Palette) -> None:
        """Faint lines across and their labels; `ticks` maps heights, as parts of the plot's, to words."""
        painter.setFont(body_font(LABEL_PX))
        for part, words in ticks.items():
            y = plot.bottom() - part * plot.height()
            painter.setPen(QColor(palette.border))
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
            painter.setPen(QColor(palette.muted))
            place = QRectF(plot.left() - scaled(AXIS_PX), y - scaled(8), scaled(AXIS_PX) - 6, scaled(16))
            painter.drawText(place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, words)

    @staticmethod
    def draw_feet(painter: QPainter, plot: QRectF, left: str, right: str, palette: Palette) -> None:
        """Words under the two ends of the plot."""
        painter.setFont(body_font(LABEL_PX))
        painter.setPen(QColor(palette.muted))
        place = QRectF(plot.left(), plot.bottom() + 3, plot.width(), scaled(FOOT_PX) - 3)
        painter.drawText(place, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, left)
        if QFontMetricsF(painter.font()).horizontalAdvance(left + right) + 12 < plot.width():
            painter.drawText(place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, right)

    def sizeHint(self) -> QSize:
        """As wide as there is room for."""
        return QSize(240, self.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw on the screen."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.draw(painter, QRectF(self.rect()), self._palette)
        painter.end()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell what is pointed at."""
        self.pointed.emit(self.index_at(event.position()))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Tell what is clicked on."""
        if (index := self.index_at(event.position())) is not None:
            self.chosen.emit(index)

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the pointer any more."""
        super().leaveEvent(event)
        self.pointed.emit(None)
