"""How much of the model's context the next question would fill."""

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from app.engine.token_counter import TokenCount
from app.look.theme import Palette

BAR = QSize(64, 4)
_NEARLY_FULL = 0.85


class ContextMeter(QWidget):
    """A small bar with the figures beside it; over the limit it says so in words too."""

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bar = _Bar(palette)
        self.label = QLabel()
        self.label.setProperty("role", "muted")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self._bar)
        layout.addWidget(self.label)
        self.show_count(None)

    def show_count(self, count: TokenCount | None) -> None:
        """Tell of a count; None hides the meter and keeps its place."""
        policy = self.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.setSizePolicy(policy)
        self.setVisible(count is not None)
        if count is None:
            return
        over, holds = count.over, count.context_length
        figures = f"{count.num_tokens:,} / {holds:,}" if holds is not None else f"{count.num_tokens:,}"
        self.label.setText(self.tr("{0} · {1:,} over").format(figures, over) if over > 0 else figures)
        self.label.setProperty("role", "danger" if over > 0 else "muted")
        self.label.style().unpolish(self.label)
        self.label.style().polish(self.label)
        what = self.tr("The next prompt in tokens, of those that the model's context holds.")
        self.setToolTip(
            self.tr(
                "{0} The conversation, the attached files and the question, as the model's template has them."
            ).format(what)
        )
        self.setAccessibleName(
            self.tr("{0} tokens of the context").format(figures)
            + (self.tr(", {0:,} too many").format(over) if over > 0 else "")
        )
        self._bar.show_share(count.num_tokens / max(1, holds) if holds is not None else 0.0)

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._bar.apply_palette(palette)


class _Bar(QWidget):
    def __init__(self, palette: Palette) -> None:
        super().__init__()
        self.setFixedSize(BAR)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._palette, self._share = palette, 0.0

    def show_share(self, share: float) -> None:
        self._share = share
        self.update()

    def apply_palette(self, palette: Palette) -> None:
        self._palette = palette
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """A rounded line, filled from the left."""
        colours = self._palette
        full = (
            colours.danger if self._share > 1 else colours.correction if self._share > _NEARLY_FULL else colours.accent
        )
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        radius = BAR.height() / 2
        painter.setBrush(QColor(colours.border))
        painter.drawRoundedRect(QRectF(self.rect()), radius, radius)
        painter.setBrush(QColor(full))
        width = max(BAR.height(), BAR.width() * min(1.0, self._share)) if self._share > 0 else 0
        painter.drawRoundedRect(QRectF(0, 0, width, BAR.height()), radius, radius)
