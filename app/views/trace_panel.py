"""The panel beside the conversation: how far the engine looked ahead, round by round, and what that bought."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QFrame, QLabel, QScrollArea, QVBoxLayout, QWidget

from app.protocol import Round
from app.theme import Palette
from app.viewmodels.trace import TraceViewModel
from app.views.round_card import RoundCard

if TYPE_CHECKING:
    from app.views.trace_plot import TracePlot

WIDTH_PX = 312
PLOT_PX = 200
REPAINT_MS = 66


class TracePanel(QFrame):
    """Shows the TraceViewModel; draws nothing while it is hidden."""

    def __init__(self, trace: TraceViewModel, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("tracePanel")
        self.setAccessibleName("Lookahead by round")
        self.setFixedWidth(WIDTH_PX)
        self._trace, self._palette = trace, palette
        self.plot: TracePlot | None = None
        self._hovered: int | None = None
        self._title = QLabel("Lookahead")
        self._title.setProperty("role", "section")
        self._key = QLabel(wordWrap=True)
        self._key.setProperty("role", "muted")
        self._hint = QLabel("How far the engine looks ahead shows here, round by round.", wordWrap=True)
        self._hint.setProperty("role", "muted")
        self._card = RoundCard(palette)
        self._verdict = QLabel()
        self._verdict.setProperty("role", "verdict")
        self._verdict_text = QLabel(wordWrap=True)
        self._verdict_text.setProperty("role", "muted")
        self._repaint = QTimer(self, singleShot=True, interval=REPAINT_MS)
        self._repaint.timeout.connect(self._show)
        self._build()
        trace.reset.connect(self._on_reset)
        trace.round_added.connect(self._soon)
        trace.finished.connect(self._soon)

    def wear(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        if self.plot is not None:
            self.plot.wear(palette)
        self._show()

    def mark_round(self, one: Round) -> None:
        """Mark a round that is pointed at elsewhere."""
        if one in self._trace.rounds:
            self._on_hovered(self._trace.rounds.index(one))

    def _build(self) -> None:
        # In a low window the panel scrolls; its parts would else lie over each other.
        page = QWidget(objectName="page")
        scroll = QScrollArea(widgetResizable=True, horizontalScrollBarPolicy=Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(page)
        frame = QVBoxLayout(self)
        frame.setContentsMargins(0, 0, 0, 0)
        frame.addWidget(scroll)
        self._layout = QVBoxLayout(page)
        self._layout.setContentsMargins(20, 18, 20, 18)
        self._layout.setSpacing(8)
        for widget in (self._title, self._hint, self._key):
            self._layout.addWidget(widget)
        self._plot_place = self._layout.count()
        self._rules = [QFrame(objectName="separator") for _ in range(2)]
        for widget in (self._rules[0], self._card, self._rules[1], self._verdict, self._verdict_text):
            self._layout.addSpacing(6)
            self._layout.addWidget(widget)
        self._layout.addStretch()

    def _make_plot(self) -> None:
        from app.views.trace_plot import TracePlot

        self.plot = TracePlot(self._palette)
        self.plot.setFixedHeight(PLOT_PX)
        self.plot.round_hovered.connect(self._on_hovered)
        self._layout.insertWidget(self._plot_place, self.plot)

    def _on_reset(self) -> None:
        self._hovered = None
        self._show()

    def _on_hovered(self, index: int) -> None:
        self._hovered = index if 0 <= index < len(self._trace.rounds) else None
        self._show()

    def _soon(self) -> None:
        if not self._repaint.isActive():
            self._repaint.start()

    def _show(self) -> None:
        if not self.isVisible():
            return
        rounds = self._trace.rounds
        if rounds and self.plot is None:
            self._make_plot()
        for widget in (self.plot, self._key, self._card, self._rules[0]):
            if widget is not None:
                widget.setVisible(bool(rounds))
        self._hint.setVisible(not rounds)
        if rounds and self.plot is not None:
            self.plot.show_rounds(rounds, is_live=self._trace.final is None)
            self.plot.mark(self._hovered)
            shown = len(rounds) - 1 if self._hovered is None else self._hovered
            self._card.show_round(rounds[shown], self._palette, is_latest=shown == len(rounds) - 1)
        self._key.setText(_key(rounds, self._palette))
        self._show_verdict()
        self._layout.activate()  # at once: a frame with the old places would flicker

    def _show_verdict(self) -> None:
        speedup = self._trace.speedup
        for widget in (self._verdict, self._verdict_text, self._rules[1]):
            widget.setVisible(speedup is not None)
        if speedup is not None:
            self._verdict.setText(f"{speedup:.2f}×")
            self._verdict.setStyleSheet("" if speedup >= 1 else f"color: {self._palette.text}")
            self._verdict_text.setText(_verdict(speedup, is_parked=self._trace.is_parked))

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what happened while hidden."""
        super().showEvent(event)
        self._show()


def _key(rounds: Sequence[Round], palette: Palette) -> str:
    """What the plot's shapes mean, as far as they occur in it."""
    entries = [(palette.accent, "■", "accepted"), (palette.muted, "━", "looked ahead")]
    if any(one.drafter == "ngram" for one in rounds):
        entries[0] = (palette.accent, "■", "accepted, draft model")
        entries.insert(1, (palette.ngram, "□◇", "n\u2011gram"))
    if any(one.is_parked for one in rounds):
        entries.append((palette.muted, "╌", "parked"))
    shown = [
        f'<span style="color:{colour}">{shape}</span>&nbsp;{name.replace(" ", "&nbsp;")}'
        for colour, shape, name in entries
    ]
    return "&nbsp;&nbsp; ".join(shown)  # the last space is the one to break at


def _verdict(speedup: float, *, is_parked: bool) -> str:
    if speedup >= 1:
        return "as fast as plain decoding, measured on this machine."
    if is_parked:
        return "of plain decoding's measured speed. Most rounds were plain: guessing would not have paid here."
    return "of plain decoding's speed: looking ahead does not pay for this answer on this machine."
