"""The icons, drawn as strokes in the colour they are asked for. All are our own."""

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

_PATHS = {
    "new": (
        '<path d="M12 5H6a2 2 0 0 0-2 2v11a2 2 0 0 0 2 2h11a2 2 0 0 0 2-2v-6"/>'
        '<path d="M18.2 3.8a1.7 1.7 0 0 1 2 2L12.5 13.5l-3 .8.8-3z"/>'
    ),
    "send": '<path d="M12 19V5.5"/><path d="M6 11.2 12 5.2l6 6"/>',
    "stop": '<rect x="7" y="7" width="10" height="10" rx="2" fill="COLOUR"/>',
    "copy": (
        '<rect x="9" y="9" width="11" height="11" rx="2"/>'
        '<path d="M15 5.8V5a1.5 1.5 0 0 0-1.5-1.5H5.5A1.5 1.5 0 0 0 4 5v8.5A1.5 1.5 0 0 0 5.5 15H6"/>'
    ),
    "again": '<path d="M19.5 12a7.5 7.5 0 1 1-2.3-5.4"/><path d="M19.8 3.5v4.2h-4.2"/>',
    "panel": '<rect x="3.5" y="5" width="17" height="14" rx="2"/><path d="M14.5 5v14"/>',
    "close": '<path d="m7 7 10 10M17 7 7 17"/>',
    "down": '<path d="M12 5v13.5"/><path d="m6 12.8 6 6 6-6"/>',
    "dice": (
        '<rect x="4.5" y="4.5" width="15" height="15" rx="3"/>'
        '<path d="M9 9h.01M15 15h.01M15 9h.01M9 15h.01" stroke-width="2.4"/>'
    ),
    "mark": (
        '<g stroke-width="2.6">'
        '<path d="m3.5 6 6 6-6 6"/>'
        '<path d="m10 6 6 6-6 6" opacity=".6"/>'
        '<path d="m16.5 6 6 6-6 6" opacity=".3" transform="translate(-1.5 0)"/>'
        "</g>"
    ),
}

_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="COLOUR" stroke-width="1.7" '
    'stroke-linecap="round" stroke-linejoin="round">BODY</svg>'
)


def pixmap(name: str, colour: str, size: int, ratio: float = 2.0) -> QPixmap:
    """The icon `size` logical pixels wide."""
    svg = _SVG.replace("BODY", _PATHS[name]).replace("COLOUR", colour)
    image = QPixmap(QSize(size, size) * ratio)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    QSvgRenderer(QByteArray(svg.encode())).render(painter, QRectF(0, 0, size * ratio, size * ratio))
    painter.end()
    image.setDevicePixelRatio(ratio)
    return image


def icon(name: str, colour: str, disabled: str | None = None) -> QIcon:
    """The icon for a button, with another colour for its disabled state where one is given."""
    drawn = QIcon(pixmap(name, colour, 20))
    if disabled is not None:
        drawn.addPixmap(pixmap(name, disabled, 20), QIcon.Mode.Disabled)
    return drawn
