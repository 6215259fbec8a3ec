"""The course of one answer: its rounds, and the numbers that follow from them until the engine tells its own."""

from collections.abc import Sequence

from PySide6.QtCore import QObject, QTimer, Signal

from app.engine.protocol import Finished, Round
from app.speculation.tally import Tally
from app.store import Answer

PARKED_FROM_ROUNDS = 8  # fewer say little of an answer
REPAINT_MS = 33  # thirty times a second is as often as anybody can see


class TraceViewModel(QObject):
    """Follows the answer that the panel and the footer show, or replays it.

    Signals:
        reset: sent when another answer is shown; everything is to be read again.
        updated: rounds were added, or the final numbers arrived, or the replay moved. Sent thirty times a second at
            most, however many rounds a second there are.
        pointed: the index of the round that is pointed at anywhere, None for none. Sent at every change.
        chosen: the index of the round that was clicked on.
    """

    reset = Signal()
    updated = Signal()
    pointed = Signal(object)
    chosen = Signal(int)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.answer: Answer | None = None
        self.final: Finished | None = None
        self.pointed_round: int | None = None
        self._rounds: list[Round] = []
        self._playhead: int | None = None
        self._tally = Tally()
        self._past: Tally | None = None  # that of the rounds up to the playhead
        self._repaint = QTimer(self, singleShot=True, interval=REPAINT_MS)
        self._repaint.timeout.connect(self.updated)

    @property
    def rounds(self) -> Sequence[Round]:
        """All rounds of the answer, whatever the replay shows of them."""
        return self._rounds

    @property
    def playhead(self) -> int | None:
        """How many rounds the replay shows; None where nothing is replayed."""
        return self._playhead

    @property
    def num_shown(self) -> int:
        """How many rounds show."""
        return len(self._rounds) if self._playhead is None else self._playhead

    @property
    def tally(self) -> Tally:
        """The counts of the rounds that show."""
        if self._playhead is None:
            return self._tally
        if self._past is None:
            self._past = Tally.of(self._rounds[: self._playhead])
        return self._past

    @property
    def is_live(self) -> bool:
        """Whether the answer is still growing."""
        return self.answer is not None and self.answer.is_open

    def show(self, answer: Answer | None) -> None:
        """Show another answer, or none."""
        self.answer = answer
        self._rounds = list(answer.rounds) if answer else []
        self.final = answer.finished if answer else None
        self._tally, self._past, self._playhead, self.pointed_round = Tally.of(self._rounds), None, None, None
        self._repaint.stop()
        self.reset.emit()

    def add(self, one: Round) -> None:
        """Count a round that just finished."""
        self._rounds.append(one)
        self._tally.add(one)
        self._soon()

    def finish(self, final: Finished) -> None:
        """Take the engine's own final numbers."""
        self.final = final
        self._repaint.stop()
        self.updated.emit()

    def end(self) -> None:
        """The answer grows no more, whole or not: from now on it can be replayed."""
        self._repaint.stop()
        self.updated.emit()

    def scrub(self, playhead: int | None) -> None:
        """Show the first `playhead` rounds only, None for all."""
        playhead = None if playhead is None else max(0, min(playhead, len(self._rounds)))
        if playhead != self._playhead:
            self._playhead, self._past = playhead, None
            self._soon()

    def point(self, index: int | None) -> None:
        """Point at a round, from wherever."""
        index = index if index is not None and 0 <= index < len(self._rounds) else None
        if index != self.pointed_round:
            self.pointed_round = index
            self.pointed.emit(index)

    def choose(self, index: int) -> None:
        """Click on a round."""
        if 0 <= index < len(self._rounds):
            self.point(index)
            self.chosen.emit(index)

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens emitted per second of rounds; None before the first."""
        return _or(self._final("tokens_per_second"), self.tally.tokens_per_second)

    @property
    def tokens_per_round(self) -> float | None:
        """Tokens emitted per round, the correction or bonus token included."""
        return _or(self._final("mean_accepted_length"), self.tally.tokens_per_round)

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted / tested; None where nothing was tested."""
        return self.tally.acceptance_rate

    @property
    def passes_saved(self) -> int | None:
        """Target passes plain decoding would have needed on top."""
        final = self._final("target_passes_saved")
        return self.tally.passes_saved if final is None else int(final)

    @property
    def plain_tokens_per_second(self) -> float | None:
        """What plain decoding brings here, measured; None where it was not."""
        step_ms = self._final("plain_step_ms")
        return 1000.0 / step_ms if step_ms else self.tally.plain_tokens_per_second

    @property
    def speedup(self) -> float | None:
        """Against a measured plain step; None without that, or without a draft."""
        if not self.tally.num_drafting:
            return None
        return _or(self._final("speedup"), self.tally.speedup)

    @property
    def is_parked(self) -> bool:
        """Whether most rounds drafted nothing because plain decoding is faster."""
        tally = self.tally
        return tally.num_rounds >= PARKED_FROM_ROUNDS and 2 * tally.num_parked > tally.num_rounds

    @property
    def is_lossy(self) -> bool:
        """Whether the engine says that its words are not the target's own."""
        return self.final is not None and self.final.stats.get("lossless") is False

    @property
    def exactness(self) -> str | None:
        """What the engine says of its words: strict or fast; None where it has not, or an older one does not."""
        said = self.final.stats.get("exactness") if self.final else None
        return said if said in ("strict", "fast") else None

    @property
    def nearest_tie(self) -> float | None:
        """The least by which a word of a fast answer beat the next best one."""
        return self._final("nearest_tie")

    def _final(self, name: str) -> float | None:
        """One of the engine's own numbers of the whole answer, once it has told them and the whole answer shows."""
        value = self.final.stats.get(name) if self.final and self._playhead is None else None
        return float(value) if isinstance(value, int | float) else None

    def _soon(self) -> None:
        if not self._repaint.isActive():
            self._repaint.start()


def _or(first: float | None, second: float | None) -> float | None:
    return second if first is None else first
