"""An answer's rows in one step of the engine: read of the prompt, plain, drafts that stood and drafts that fell."""

from PySide6.QtCore import QCoreApplication, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPen
from PySide6.QtWidgets import QWidget

from app.engine.pages.batch.records import ROW_KINDS, RowKind, Rows
from app.look.theme import Palette
from app.look.typography import scaled
from app.speculation.views.charts.base import Chart

HEIGHT_PX = 10
ROW_PX = 12  # of one row, while all of them find room
GAP_PX = 2
LEAST_PX = 3


class StepRows(Chart):
    """A cell a row. Where there are more than fit, as of a prompt, each kind has its share of the width."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(QCoreApplication.translate("StepRows", "Rows of the newest step"), HEIGHT_PX, palette, parent)
        self.rows = Rows()

    def show_rows(self, rows: Rows) -> None:
        """Show these."""
        if rows != self.rows:
            self.rows = rows
            words = row_words(rows)
            self.setToolTip(words)
            self.setAccessibleDescription(words)
            self.update()

    def draw(self, painter: QPainter, area: QRectF, palette: Palette) -> None:
        """The cells; the place of those that are not there stays faintly visible."""
        painter.fillRect(area, QColor(palette.raised))
        cell = scaled(ROW_PX)
        if self.rows.total * cell <= area.width():
            left = area.left()
            for kind in ROW_KINDS:
                for _ in range(getattr(self.rows, kind)):
                    _draw_part(painter, QRectF(left, area.top(), cell - GAP_PX, area.height()), kind, palette)
                    left += cell
        else:
            self._draw_shares(painter, area, palette)

    def _draw_shares(self, painter: QPainter, area: QRectF, palette: Palette) -> None:
        kinds = [kind for kind in ROW_KINDS if getattr(self.rows, kind)]
        free = area.width() - len(kinds) * (LEAST_PX + GAP_PX) + GAP_PX
        left = area.left()
        for kind in kinds:
            width = LEAST_PX + free * getattr(self.rows, kind) / self.rows.total
            _draw_part(painter, QRectF(left, area.top(), width, area.height()), kind, palette)
            left += width + GAP_PX


def _draw_part(painter: QPainter, place: QRectF, kind: RowKind, palette: Palette) -> None:
    """Each kind has a shape of its own too: outlined, grey, full, and struck with lines."""
    if kind == "read":
        painter.setPen(QPen(QColor(palette.accent), 1))
        painter.setBrush(QColor(palette.selection))
        painter.drawRect(place.adjusted(0.5, 0.5, -0.5, -0.5))
    elif kind == "rejected":
        painter.setPen(QPen(QColor(palette.ghost), 1))
        painter.setBrush(QBrush(QColor(palette.ghost), Qt.BrushStyle.BDiagPattern))
        painter.drawRect(place.adjusted(0.5, 0.5, -0.5, -0.5))
    else:
        painter.fillRect(place, QColor(palette.accepted if kind == "accepted" else palette.plain))


def row_words(rows: Rows) -> str:
    """The rows for those who hear them."""
    told = {
        "read": QCoreApplication.translate("StepRows", "{0:,} read").format(rows.read),
        "plain": QCoreApplication.translate("StepRows", "{0:,} plain").format(rows.plain),
        "accepted": QCoreApplication.translate("StepRows", "{0:,} accepted").format(rows.accepted),
        "rejected": QCoreApplication.translate("StepRows", "{0:,} rejected").format(rows.rejected),
    }
    there = [told[kind] for kind in ROW_KINDS if getattr(rows, kind)]
    return ", ".join(there) or QCoreApplication.translate("StepRows", "not in the newest step")
