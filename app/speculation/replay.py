"""Going through the rounds of an answer again, by hand or at the pace they had."""

from PySide6.QtCore import QObject, QTimer, Signal

from app.speculation.trace import TraceViewModel

LEAST_MS = 16
LONGEST_MS = 2_000  # a stall of the machine need not be sat through again


class Replay(QObject):
    """Moves the trace's playhead.

    Signals:
        changed: the place, whether it plays, or how many rounds there are.
    """

    changed = Signal()

    def __init__(self, trace: TraceViewModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._trace = trace
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._step)
        trace.reset.connect(self._on_reset)
        trace.updated.connect(self._on_updated)

    def _on_updated(self) -> None:
        if not self._trace.is_live:  # while it grows there is nothing to go through
            self.changed.emit()

    @property
    def is_possible(self) -> bool:
        """Whether there is a finished answer to go through."""
        return len(self._trace.rounds) > 1 and not self._trace.is_live

    @property
    def is_playing(self) -> bool:
        """Whether it moves by itself."""
        return self._timer.isActive()

    @property
    def place(self) -> int:
        """How many rounds show."""
        return self._trace.num_shown

    @property
    def length(self) -> int:
        """How many rounds there are."""
        return len(self._trace.rounds)

    def seek(self, place: int) -> None:
        """Go to where `place` rounds were over; at the end the answer is whole again."""
        self._trace.scrub(None if place >= self.length else place)
        self.changed.emit()

    def play(self) -> None:
        """Go on from here, or from the beginning where this is the end."""
        if self.is_possible:
            if self.place >= self.length:
                self.seek(0)
            self._timer.start(LEAST_MS)
            self.changed.emit()

    def pause(self) -> None:
        """Stay here."""
        self._timer.stop()
        self.changed.emit()

    def _step(self) -> None:
        """Show the rounds whose time has come; several, where they were shorter than a tick."""
        place, waited = self.place, 0.0
        while place < self.length and waited < LEAST_MS:
            waited += self._trace.rounds[place].round_ms
            place += 1
        if place < self.length:
            self._timer.start(round(min(LONGEST_MS, max(LEAST_MS, waited))))
        self.seek(place)

    def _on_reset(self) -> None:
        self._timer.stop()
        self.changed.emit()
