"""How far a training is, and what a trainer says of it after each step."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mlx_spec.training.initial import Weights


@dataclass(frozen=True, slots=True)
class Progress:
    """The share of the time that is over (0 to 1), steps and answer tokens so far, and Σ min(p, q) on the last
    batch."""

    share: float
    step: int
    tokens: int
    overlap: float
    weights: Callable[[], Weights]
    """A copy of the weights as they are now, for a checkpoint."""


class TrainingClock:
    """The time that a training has had of its minutes, and the steps and answer tokens that it did in it."""

    def __init__(self, minutes: float) -> None:
        self._minutes = minutes
        self._spent_s, self._step, self._tokens = 0.0, 0, 0

    def shares(self, clock: Callable[[], float]) -> Iterator[float]:
        """The share of the time that is over, 0 to 1, as each step begins, earlier runs included; ends with the time.

        `clock` tells seconds.
        """
        start = clock() - self._spent_s
        while (share := (clock() - start) / (60 * self._minutes)) < 1.0:
            self._spent_s = share * 60 * self._minutes
            yield share

    def stepped(self, share: float, tokens: int, overlap: float, weights: Callable[[], Weights]) -> Progress:
        """Count a step over so many answer tokens, which began at this share of the time."""
        self._step, self._tokens = self._step + 1, self._tokens + tokens
        return Progress(share, self._step, self._tokens, overlap, weights)

    @property
    def spent_share(self) -> float:
        """The share of the time that was over when the last step began."""
        return self._spent_s / (60 * self._minutes)

    @property
    def counts(self) -> tuple[float, int, int]:
        """Seconds, steps and answer tokens, for a training that goes on later."""
        return self._spent_s, self._step, self._tokens

    @counts.setter
    def counts(self, counts: tuple[float, int, int]) -> None:
        self._spent_s, self._step, self._tokens = counts
