"""The race, side by side: plain decoding at the left, speculative decoding at the right, the verdict below."""

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication, Qt
from PySide6.QtGui import QCloseEvent, QTextCursor
from PySide6.QtWidgets import QDialog, QFrame, QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from app.look.theme import Palette
from app.speculation.race import Lane, RaceViewModel, Side
from app.speculation.views.charts.speed import Speed, SpeedBars

SIZE = (880, 600)
TITLES: dict[Side, str] = {
    "plain": QT_TRANSLATE_NOOP("RaceWindow", "Plain decoding"),
    "speculative": QT_TRANSLATE_NOOP("RaceWindow", "Speculative decoding"),
}


class RaceWindow(QDialog):
    """Shows a RaceViewModel; closing it gives the race up."""

    def __init__(self, race: RaceViewModel, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Race: plain against speculative"))
        self.resize(*SIZE)
        self._race, self._palette = race, palette
        self._texts: dict[Side, QPlainTextEdit] = {}
        self._rates: dict[Side, QLabel] = {}
        self._num_shown: dict[Side, int] = {"plain": 0, "speculative": 0}
        self.ratio = QLabel()
        self.ratio.setProperty("role", "verdict")
        self.words = QLabel(wordWrap=True)
        self.bars = SpeedBars(palette)
        self.button = QPushButton(self.tr("Stop"))
        self.button.setProperty("role", "outline")
        self._build()
        self.button.clicked.connect(self._on_button)
        race.changed.connect(self._show)
        self._show()

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        self.bars.apply_palette(palette)
        self._show()

    def _build(self) -> None:
        lanes = QHBoxLayout()
        lanes.setSpacing(16)
        for side, title in ((side, self.tr(name)) for side, name in TITLES.items()):
            lanes.addLayout(self._lane(side, title), 1)
        below = QHBoxLayout()
        below.setSpacing(16)
        verdict = QVBoxLayout()
        verdict.setSpacing(2)
        verdict.addWidget(self.ratio)
        verdict.addWidget(self.words)
        verdict.addStretch()
        below.addLayout(verdict, 1)
        right = QVBoxLayout()
        right.addWidget(self.bars)
        right.addStretch()
        right.addWidget(self.button, 0, Qt.AlignmentFlag.AlignRight)
        below.addLayout(right, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 20, 24, 20)
        layout.setSpacing(16)
        layout.addLayout(lanes, 1)
        layout.addWidget(QFrame(objectName="separator"))
        layout.addLayout(below)

    def _lane(self, side: Side, title: str) -> QVBoxLayout:
        name, rate = QLabel(title), QLabel()
        name.setProperty("role", "section")
        rate.setProperty("role", "muted")
        rate.setAlignment(Qt.AlignmentFlag.AlignRight)
        text = QPlainTextEdit(readOnly=True)
        text.setFrameShape(QFrame.Shape.NoFrame)
        text.document().setDocumentMargin(0)
        text.setAccessibleName(self.tr("{0}: the answer").format(title))
        header = QHBoxLayout()
        header.addWidget(name)
        header.addStretch()
        header.addWidget(rate)
        column = QVBoxLayout()
        column.setSpacing(8)
        column.addLayout(header)
        column.addWidget(text, 1)
        self._texts[side], self._rates[side] = text, rate
        return column

    def _show(self) -> None:
        race = self._race
        for side, lane in race.lanes.items():
            self._show_lane(side, lane)
        self.button.setText(self.tr("Stop") if race.running else self.tr("Race again"))
        verdict = race.verdict
        self.ratio.setVisible(verdict is not None and verdict.ratio is not None)
        self.bars.setVisible(verdict is not None)
        if verdict is None:
            waiting = {"plain": self.tr("Plain decoding runs first, then the same prompt and seed with a draft."),
                       "speculative": self.tr("Now the same with a draft: the words should be the same.")}  # fmt: skip
            told = f"{race.problem.title} {race.problem.advice}" if race.problem else self.tr("Nothing was decided.")
            self.words.setText(waiting.get(race.running or "", told))
            return
        if verdict.ratio is not None:
            self.ratio.setText(f"{verdict.ratio:.2f}×")
            self.ratio.setStyleSheet("" if verdict.ratio >= 1 else f"color: {self._palette.text}")
        self.words.setText(f"{'✓' if verdict.is_equal else '✗'} {verdict.words}\n{speed_words(verdict.ratio)}")
        rates = (
            (self.tr("Plain"), verdict.plain_rate, False),
            (self.tr("Speculative"), verdict.speculative_rate, True),
        )
        self.bars.show_values([Speed(name, rate, is_ours=ours) for name, rate, ours in rates if rate])

    def _show_lane(self, side: Side, lane: Lane) -> None:
        text = self._texts[side]
        if len(lane.text) < self._num_shown[side]:  # a new race
            text.clear()
            self._num_shown[side] = 0
        if added := lane.text[self._num_shown[side] :]:
            cursor = QTextCursor(text.document())
            cursor.movePosition(QTextCursor.MoveOperation.End)
            cursor.insertText(added)
            self._num_shown[side] = len(lane.text)
            text.verticalScrollBar().setValue(text.verticalScrollBar().maximum())
        rate = lane.tally.tokens_per_second
        words = self.tr("waits") if rate is None and self._race.running == "plain" and side == "speculative" else ""
        self._rates[side].setText(
            words if rate is None else self.tr("{0:,} tokens · {1:.1f} tokens/s").format(lane.tally.num_emitted, rate)
        )

    def _on_button(self) -> None:
        if self._race.running:
            self._race.stop()
        else:
            self._race.start_again()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Nobody looks any more."""
        self._race.stop()
        super().closeEvent(event)


def speed_words(ratio: float | None) -> str:
    """What the ratio means."""
    if ratio is None:
        return ""
    if ratio >= 1:
        return QCoreApplication.translate(
            "RaceWindow", "Speculative decoding's tokens a second over plain decoding's, both measured just now."
        )
    return QCoreApplication.translate(
        "RaceWindow", "Plain decoding was faster this time: looking ahead did not pay for this answer on this machine."
    )
