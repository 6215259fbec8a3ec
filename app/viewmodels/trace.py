"""The course of one answer: its rounds, and the numbers that follow from them until the engine tells its own."""

from PySide6.QtCore import QObject, Signal

from app.conversation import Answer
from app.protocol import Finished, Round

PARKED_FROM_ROUNDS = 8  # fewer say little of an answer


class TraceViewModel(QObject):
    """Follows the answer that the panel and the footer show.

    Signals:
        reset: sent when another answer is shown; everything is to be read again.
        round_added: the Round that was added.
        finished: sent when the final numbers have arrived.
    """

    reset = Signal()
    round_added = Signal(object)
    finished = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rounds: list[Round] = []
        self.final: Finished | None = None
        self._num_emitted = self._num_accepted = self._num_tested = self._num_parked = 0
        self._round_ms = 0.0

    def show(self, answer: Answer | None) -> None:
        """Show another answer, or none."""
        self.rounds, self.final = [], None
        self._num_emitted = self._num_accepted = self._num_tested = self._num_parked = 0
        self._round_ms = 0.0
        for one in answer.rounds if answer else ():
            self._count(one)
        if answer:
            self.final = answer.finished
        self.reset.emit()

    def add(self, one: Round) -> None:
        """Count a round that just finished."""
        self._count(one)
        self.round_added.emit(one)

    def finish(self, final: Finished) -> None:
        """Take the engine's own final numbers."""
        self.final = final
        self.finished.emit()

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens emitted per second of rounds; None before the first."""
        if (final := self._final("tokens_per_second")) is not None:
            return final
        return self._num_emitted * 1000.0 / self._round_ms if self._round_ms else None

    @property
    def tokens_per_round(self) -> float | None:
        """Tokens emitted per round, the correction or bonus token included."""
        if (final := self._final("mean_accepted_length")) is not None:
            return final
        return self._num_emitted / len(self.rounds) if self.rounds else None

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted / tested; None where nothing was tested."""
        return self._num_accepted / self._num_tested if self._num_tested else None

    @property
    def passes_saved(self) -> int | None:
        """Target passes plain decoding would have needed on top: it needs one a token, a round needs one."""
        if (final := self._final("target_passes_saved")) is not None:
            return int(final)
        return max(0, self._num_emitted - len(self.rounds)) if self.rounds else None

    @property
    def speedup(self) -> float | None:
        """Against the calibrated plain step, as the engine measured it; None without that, or without a draft."""
        has_drafted = any(one.drafted for one in self.rounds)
        return self._final("speedup") if has_drafted else None

    @property
    def is_parked(self) -> bool:
        """Whether most rounds drafted nothing because plain decoding is faster."""
        return len(self.rounds) >= PARKED_FROM_ROUNDS and 2 * self._num_parked > len(self.rounds)

    @property
    def is_lossy(self) -> bool:
        """Whether the engine says that its words are not the target's own."""
        return self.final is not None and self.final.stats.get("lossless") is False

    def _final(self, name: str) -> float | None:
        """One of the engine's own numbers of the whole answer, once it has told them."""
        value = self.final.stats.get(name) if self.final else None
        return float(value) if isinstance(value, int | float) else None

    def _count(self, one: Round) -> None:
        self.rounds.append(one)
        self._num_emitted += len(one.emitted)
        self._num_accepted += one.accepted_count
        self._num_tested += one.tested_count
        self._num_parked += one.is_parked
        self._round_ms += one.round_ms
