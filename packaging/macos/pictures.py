"""What macOS shows of the app before it runs: the icon in all sizes, and the disk image's background. Needs no display.

python packaging/macos/pictures.py OUT    writes OUT/Lookahead.icns, OUT/background.png and OUT/background@2x.png
"""

import os
import struct
import sys
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QBuffer, QIODevice, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QGuiApplication, QImage, QPainter, QPen
from PySide6.QtSvg import QSvgRenderer

ICON = Path(__file__).with_name("icon.svg")
# The kinds of an .icns file by their pixels: an ordinary screen's, and those of twice the density.
KINDS = (
    (b"icp4", 16), (b"ic11", 32), (b"icp5", 32), (b"ic12", 64), (b"ic07", 128),
    (b"ic13", 256), (b"ic08", 256), (b"ic14", 512), (b"ic09", 512), (b"ic10", 1024),
)  # fmt: skip
# A disk image has one background for light and dark, and Finder writes names on it in black or in white. This grey
# keeps 4.5:1 with both.
BACKGROUND = "#757575"
WINDOW = (600, 400)
APP_AT, APPLICATIONS_AT = (150, 190), (450, 190)


def drawn(pixels: int) -> QImage:
    """The icon as a square picture."""
    image = QImage(pixels, pixels, QImage.Format.Format_ARGB32)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    QSvgRenderer(str(ICON)).render(painter, QRectF(0, 0, pixels, pixels))
    painter.end()
    return image


def png(image: QImage) -> bytes:
    """A picture as a PNG file's bytes."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return bytes(buffer.data().data())


def icns() -> bytes:
    """The .icns file: a head with the length of all, then kind, length and PNG of each size."""
    files = [(kind, png(drawn(pixels))) for kind, pixels in KINDS]
    body = b"".join(kind + struct.pack(">I", 8 + len(data)) + data for kind, data in files)
    return b"icns" + struct.pack(">I", 8 + len(body)) + body


def background(ratio: int) -> QImage:
    """The picture behind the two icons: an arrow from the app to Applications."""
    image = QImage(WINDOW[0] * ratio, WINDOW[1] * ratio, QImage.Format.Format_RGB32)
    image.fill(QColor(BACKGROUND))
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(ratio, ratio)
    painter.setPen(QPen(QColor("#FFFFFF"), 6, c=Qt.PenCapStyle.RoundCap, j=Qt.PenJoinStyle.RoundJoin))
    left, right, middle = APP_AT[0] + 95, APPLICATIONS_AT[0] - 95, APP_AT[1]
    painter.drawLine(QPointF(left, middle), QPointF(right, middle))
    painter.drawPolyline([QPointF(right - 22, middle - 22), QPointF(right, middle), QPointF(right - 22, middle + 22)])
    painter.end()
    return image


def main(out: Path) -> None:
    """Write them all."""
    QGuiApplication([])
    out.mkdir(parents=True, exist_ok=True)
    (out / "Lookahead.icns").write_bytes(icns())
    (out / "background.png").write_bytes(png(background(1)))
    (out / "background@2x.png").write_bytes(png(background(2)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
