"""A sum of a few terms whose weights are learnt one observation at a time. Floats only."""

import math
from collections.abc import Sequence
from typing import Final

# One stall of the machine must not be taken for new weights; a real change comes again.
_CLIP: Final = 0.6


class Fit:
    """w·x, with w from a Kalman filter: believed as surely as was said at first, and wandering a little ever since."""

    def __init__(
        self, weights: Sequence[float], deviations: Sequence[float], wander: float, least: float = -math.inf
    ) -> None:
        """`deviations` are how far each of the first `weights` may be off. From one observation to the next each may
        wander by the share `wander` of that, and none falls below the `least`."""
        self._least = least
        self._weights = list(weights)
        self._first = [deviation**2 for deviation in deviations]
        self._wander = wander**2
        self._covariance = [[0.0] * len(self._weights) for _ in self._weights]
        self.doubt()

    @property
    def weights(self) -> tuple[float, ...]:
        """As they are believed now."""
        return tuple(self._weights)

    def at(self, terms: Sequence[float]) -> float:
        """What is expected of these terms."""
        return sum(weight * term for weight, term in zip(self._weights, terms, strict=True))

    def doubt(self) -> None:
        """Believe the weights no more than the first ones."""
        for number, variance in enumerate(self._first):
            self._covariance[number][number] = max(self._covariance[number][number], variance)

    def observe(self, terms: Sequence[float], found: float, noise: float) -> None:
        """Learn from one sum that was `found`, give or take `noise` > 0."""
        expected, covariance = self.at(terms), self._covariance
        error = max(-_CLIP * expected, min(_CLIP * expected, found - expected)) if expected > 0 else found - expected
        for number, (term, variance) in enumerate(zip(terms, self._first, strict=True)):
            if term and covariance[number][number] < variance:  # what is never seen is no more doubted than at first
                covariance[number][number] += self._wander * variance
        gains = [sum(one * term for one, term in zip(row, terms, strict=True)) for row in covariance]
        spread = sum(gain * term for gain, term in zip(gains, terms, strict=True)) + noise**2
        for number, gain in enumerate(gains):
            self._weights[number] += gain / spread * error
            for other, theirs in enumerate(gains):
                covariance[number][other] -= gain * theirs / spread
        self._keep_to_least()

    def _keep_to_least(self) -> None:
        """What a weight must be raised by the others that go with it make up for: they are the likeliest then."""
        for number, row in enumerate(self._covariance):
            lift = self._least - self._weights[number]
            if lift > 0.0:
                for other, shared in enumerate(row):
                    self._weights[other] += lift * (shared / row[number] if other != number else 1.0)
        self._weights = [max(self._least, weight) for weight in self._weights]
