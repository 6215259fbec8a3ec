"""The icons of `resources/icons`, drawn in the colour they are asked for. All are our own."""

from functools import cache

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap, QPixmapCache
from PySide6.QtSvg import QSvgRenderer

from app.look.resources import resources_folder


@cache
def _source(name: str) -> str:
    """The drawing; its strokes are in `currentColor`."""
    folder = resources_folder()
    if folder is None:
        raise FileNotFoundError("Lookahead's resources are missing: install it again.")
    return (folder / "icons" / f"{name}.svg").read_text(encoding="utf-8")


def pixmap(name: str, colour: str, size: int, ratio: float = 2.0) -> QPixmap:
    """The icon `size` logical pixels wide; each is drawn once, as every answer has a dozen."""
    key = f"{name} {colour} {size} {ratio}"
    kept = QPixmap()
    if QPixmapCache.find(key, kept):
        return kept
    svg = _source(name).replace("currentColor", colour)
    image = QPixmap(QSize(size, size) * ratio)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    QSvgRenderer(QByteArray(svg.encode())).render(painter, QRectF(0, 0, size * ratio, size * ratio))
    painter.end()
    image.setDevicePixelRatio(ratio)
    QPixmapCache.insert(key, image)
    return image


def icon(name: str, colour: str, disabled: str | None = None) -> QIcon:
    """The icon for a button, with another colour for its disabled state where one is given."""
    drawn = QIcon(pixmap(name, colour, 20))
    if disabled is not None:
        drawn.addPixmap(pixmap(name, disabled, 20), QIcon.Mode.Disabled)
    return drawn
