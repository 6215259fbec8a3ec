"""Where each round stands in a chart over the rounds, however many there are."""

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF

from app.engine.protocol import Round

LIVE_ROUNDS = 48  # as many bars as can be told apart in the panel
LEAST_ROUNDS = 16  # a few rounds are not drawn as wide as the panel
LEAST_COLUMN_PX = 2.0


@dataclass(frozen=True, slots=True)
class Column:
    """Some neighbouring rounds that share a place: `first` to `last`, both included."""

    first: int
    last: int
    left: float
    width: float

    @property
    def middle(self) -> float:
        """Its middle, from the left of the plot."""
        return self.left + self.width / 2


@dataclass(frozen=True, slots=True)
class RoundAxis:
    """`count` rounds from `first` on, over `plot`."""

    first: int
    count: int
    plot: QRectF

    @classmethod
    def over(cls, num_rounds: int, plot: QRectF, *, is_live: bool) -> "RoundAxis":
        """The newest rounds while an answer is live, all of them afterwards."""
        count = min(num_rounds, LIVE_ROUNDS) if is_live else num_rounds
        return cls(num_rounds - count, count, plot)

    @property
    def step(self) -> float:
        """Width of one round."""
        return self.plot.width() / max(self.count, LEAST_ROUNDS)

    def columns(self) -> list[Column]:
        """The places to draw at, each wide enough to be seen."""
        together = max(1, -(-self.count * int(LEAST_COLUMN_PX) // max(1, int(self.plot.width()))))
        columns = []
        for begin in range(0, self.count, together):
            size = min(together, self.count - begin)
            first = self.first + begin
            columns.append(Column(first, first + size - 1, self.plot.left() + begin * self.step, size * self.step))
        return columns

    def left_of(self, index: int) -> float:
        """Where round `index` begins."""
        return self.plot.left() + (index - self.first) * self.step

    def index_at(self, x: float) -> int | None:
        """The round at a place, None beside all of them."""
        offset = int((x - self.plot.left()) // self.step)
        return self.first + offset if 0 <= offset < self.count and x >= self.plot.left() else None


def shared(rounds: Sequence[Round], column: Column) -> Sequence[Round]:
    """The rounds of a column."""
    return rounds[column.first : column.last + 1]
