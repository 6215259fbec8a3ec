"""Plain decoding, this answer and the machine's limit as three bars, so that one sees where the answer stands."""

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import QWidget

from app.look.theme import Palette
from app.look.typography import SMALL_PX, body_font, scaled
from app.speculation.views.charts.bars import Bars

ROW_PX = 38
BAR_PX = 10
RATE_PX = 84


@dataclass(frozen=True, slots=True)
class Speed:
    """A name and tokens per second. The limit is an outline: nothing ran at that speed."""

    name: str
    rate: float
    is_limit: bool = False
    is_ours: bool = False


class SpeedBars(Bars[Speed]):
    """A line of words and a bar for each speed; all to one scale."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        name = QCoreApplication.translate("SpeedBars", "Tokens per second: plain, this answer, the limit")
        super().__init__(name, ROW_PX, palette, parent)

    def height_for(self, num_values: int) -> int:
        """A row for each."""
        return ROW_PX * max(1, num_values)

    def words(self, value: Speed) -> str:
        """Whose speed, and how much."""
        return self.tr("{0} {1} tokens per second").format(value.name, f"{value.rate:.1f}")

    def draw(self, painter: QPainter, area: QRectF, palette: Palette) -> None:
        """The bars."""
        fastest = max((one.rate for one in self.values), default=0.0) or 1.0
        painter.setFont(body_font(SMALL_PX))
        row_px = scaled(ROW_PX)
        for number, one in enumerate(self.values):
            top = area.top() + number * row_px
            words = QRectF(area.left(), top, area.width(), row_px - BAR_PX - 8)
            painter.setPen(QColor(palette.text if one.is_ours else palette.muted))
            painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, one.name)
            painter.drawText(words, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom, f"{one.rate:.1f} tok/s")
            width = max(2.0, one.rate / fastest * area.width())
            bar = QRectF(area.left() + 0.5, top + row_px - BAR_PX - 6, width - 1, BAR_PX)
            if one.is_limit:
                painter.setPen(QPen(QColor(palette.muted), 1, Qt.PenStyle.DashLine))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(bar)
                painter.drawLine(QPointF(bar.right(), bar.top() - 3), QPointF(bar.right(), bar.bottom() + 3))
            else:
                painter.fillRect(bar, QColor(palette.accepted if one.is_ours else palette.muted))
