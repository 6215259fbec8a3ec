"""How far to look ahead: controllers that choose the next round's draft length, and what theory expects of it."""

from collections import deque
from typing import Final, Protocol

from mlx_spec.config import SpeculativeConfig

_WINDOW_ROUNDS: Final = 8
_PROBE_EVERY: Final = 16
_LENGTHEN_ABOVE: Final = 0.9
_SHORTEN_BELOW: Final = 0.5


class LookaheadController(Protocol):
    """Chooses the length of each round; told after each what came of it."""

    @property
    def length(self) -> int:
        """Tokens to draft in the next round; 0 means plain decoding."""
        ...

    def observe(self, tested: int, accepted: int, probability_ratios: list[float]) -> None:
        """Be told of a finished round. `probability_ratios` holds p/q of each tested token."""
        ...


class FixedLookahead:
    """Always the same length."""

    def __init__(self, length: int) -> None:
        self._length = length

    @property
    def length(self) -> int:
        """The fixed length."""
        return self._length

    def observe(self, tested: int, accepted: int, probability_ratios: list[float]) -> None:
        """Nothing to learn."""


class ThresholdLookahead:
    """One more above 0.9 acceptance, one fewer below 0.5, over the last rounds, within the configured bounds.

    Where the mean of min(1, p/q) falls under `min_acceptance_ratio` over a full window the draft is parked: rounds
    draft nothing, but every sixteenth probes with the least length, and a good probe ends the parking.
    """

    def __init__(self, config: SpeculativeConfig) -> None:
        self._config = config
        self._length = min(max(config.lookahead, config.min_lookahead), config.max_lookahead)
        self._rounds: deque[tuple[int, int]] = deque(maxlen=_WINDOW_ROUNDS)
        self._ratios: deque[float] = deque(maxlen=_WINDOW_ROUNDS * config.max_lookahead)
        self._parked_rounds: int | None = None

    @property
    def length(self) -> int:
        """The length of the next round."""
        if self._parked_rounds is None:
            return self._length
        return self._config.min_lookahead if self._parked_rounds % _PROBE_EVERY == _PROBE_EVERY - 1 else 0

    def observe(self, tested: int, accepted: int, probability_ratios: list[float]) -> None:
        """Learn from a round, parked or not."""
        if self._parked_rounds is not None:
            self._parked_rounds += 1
        if tested == 0:
            return
        self._rounds.append((tested, accepted))
        self._ratios.extend(min(1.0, ratio) for ratio in probability_ratios)
        self._adjust_length()
        self._park_or_resume(probability_ratios)

    def _adjust_length(self) -> None:
        acceptance = sum(accepted for _, accepted in self._rounds) / sum(tested for tested, _ in self._rounds)
        if acceptance > _LENGTHEN_ABOVE:
            self._length = min(self._length + 1, self._config.max_lookahead)
        elif acceptance < _SHORTEN_BELOW:
            self._length = max(self._length - 1, self._config.min_lookahead)

    def _park_or_resume(self, probability_ratios: list[float]) -> None:
        least = self._config.min_acceptance_ratio
        if self._parked_rounds is not None:
            mean = sum(min(1.0, ratio) for ratio in probability_ratios) / max(1, len(probability_ratios))
            if mean >= least:
                self._parked_rounds = None
                self._rounds.clear()
                self._ratios.clear()
        elif len(self._rounds) == _WINDOW_ROUNDS and sum(self._ratios) < least * len(self._ratios):
            self._parked_rounds = 0


def controller(config: SpeculativeConfig) -> LookaheadController:
    """The controller that a configuration asks for."""
    return ThresholdLookahead(config) if config.adaptive_lookahead else FixedLookahead(config.lookahead)


def expected_speedup(alpha: float, gamma: int, cost_ratio: float) -> float:
    """Leviathan et al. 2023, Theorem 3.8: (1 - alpha^(gamma+1)) / ((1 - alpha) (gamma c + 1)).

    `alpha` is the acceptance rate in [0, 1], `cost_ratio` c the time of a draft pass over that of a target pass; a
    verify pass is taken to cost as much as a plain step, whatever its length.
    """
    tokens = gamma + 1.0 if alpha == 1 else (1 - alpha ** (gamma + 1)) / (1 - alpha)
    return tokens / (gamma * cost_ratio + 1)
