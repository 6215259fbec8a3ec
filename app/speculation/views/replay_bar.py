"""Under the charts: play an answer's rounds again, or scrub through them."""

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSlider, QWidget

from app.look import icons
from app.look.theme import Palette
from app.look.typography import scaled
from app.speculation.replay import Replay

COUNT_PX = 74


class ReplayBar(QWidget):
    """A button, a slider and how far one is."""

    def __init__(self, replay: Replay, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._replay, self._palette = replay, palette
        self._shown: tuple[str, str] | None = None
        self.button = QPushButton()
        self.button.setFixedSize(30, 28)
        self.button.setIconSize(QSize(16, 16))
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName(self.tr("Round that the replay shows"))
        self.slider.setToolTip(self.tr("Scrub through the rounds of this answer"))
        self._count = QLabel()
        self._count.setProperty("role", "muted")
        self._count.setFixedWidth(COUNT_PX)
        self._count.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self.button)
        layout.addWidget(self.slider, 1)
        layout.addWidget(self._count)
        self.button.clicked.connect(lambda: replay.pause() if replay.is_playing else replay.play())
        self.slider.valueChanged.connect(self._on_moved)
        replay.changed.connect(self.refresh)
        self.refresh()

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        self._count.setFixedWidth(scaled(COUNT_PX))
        self.refresh()

    def refresh(self) -> None:
        """Show where the replay is."""
        replay = self._replay
        self.setEnabled(replay.is_possible)
        shown = ("pause" if replay.is_playing else "play", self._palette.text)
        if shown != self._shown:  # a button draws itself again for the same icon too
            self._shown = shown
            words = self.tr("Pause the answer's rounds") if replay.is_playing else self.tr("Replay the answer's rounds")
            self.button.setIcon(icons.icon(*shown))
            self.button.setAccessibleName(words)
            self.button.setToolTip(words)
        self.slider.blockSignals(True)  # else the slider's own change would seek
        self.slider.setRange(0, replay.length)
        self.slider.setValue(replay.place)
        self.slider.blockSignals(False)
        self._count.setText(f"{replay.place} / {replay.length}")

    def _on_moved(self, place: int) -> None:
        if self._replay.is_playing:
            self._replay.pause()
        self._replay.seek(place)
