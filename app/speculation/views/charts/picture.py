"""The panel's charts as one picture, on paper colours or the window's: PNG or SVG, drawn by the charts themselves."""

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtSvg import QSvgGenerator

from app.look.theme import Palette
from app.look.typography import body_font
from app.speculation.views.charts.base import Chart

WIDTH_PX = 860
MARGIN_PX = 24
TITLE_PX = 26
GAP_PX = 14
PNG_SCALE = 2

Titled = Sequence[tuple[str, Chart]]


def save_picture(path: Path, charts: Titled, palette: Palette) -> bool:
    """Write the picture by the path's suffix, `.svg` or any format Qt writes; False where that did not work."""
    size = picture_size(charts)
    if path.suffix.lower() == ".svg":
        generator = QSvgGenerator()
        generator.setFileName(str(path))
        generator.setSize(size)
        generator.setViewBox(QRectF(0, 0, size.width(), size.height()))
        generator.setResolution(96)  # a pixel of the window is one of the picture
        generator.setTitle(QCoreApplication.translate("TracePicture", "Speculation, round by round"))
        painter = QPainter()
        if not painter.begin(generator):
            return False
        draw_picture(painter, size, charts, palette)
        painter.end()
        return path.is_file()
    image = QImage(size * PNG_SCALE, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(PNG_SCALE, PNG_SCALE)
    draw_picture(painter, size, charts, palette)
    painter.end()
    return image.save(str(path))


def picture_size(charts: Titled) -> QSize:
    """How large the picture is, in logical pixels."""
    heights = sum(TITLE_PX + chart.height() + GAP_PX for _, chart in charts)
    return QSize(WIDTH_PX, heights - GAP_PX + 2 * MARGIN_PX)


def draw_picture(painter: QPainter, size: QSize, charts: Titled, palette: Palette) -> None:
    """All charts below each other, each under its title."""
    painter.fillRect(QRectF(0, 0, size.width(), size.height()), QColor(palette.window))
    y = float(MARGIN_PX)
    for title, chart in charts:
        painter.setPen(QColor(palette.text))
        painter.setFont(body_font(13))
        words = QRectF(MARGIN_PX, y, WIDTH_PX - 2 * MARGIN_PX, TITLE_PX)
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, title)
        y += TITLE_PX
        chart.draw(painter, QRectF(MARGIN_PX, y, WIDTH_PX - 2 * MARGIN_PX, chart.height()), palette)
        y += chart.height() + GAP_PX
