"""A length that follows the acceptance rate, and parks a draft that the target finds improbable."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from mlx_spec.config import SpeculativeConfig
from mlx_spec.lookahead.plan import Observation, Option, Plan, chain_by_first
from mlx_spec.lookahead.shared_costs import SharedCosts

_WINDOW_ROUNDS: Final = 8
_TRIAL_EVERY: Final = 16
_LENGTHEN_ABOVE: Final = 0.9
_SHORTEN_BELOW: Final = 0.5


class ThresholdLookahead:
    """One more above 0.9 acceptance, one fewer below 0.5, over the last rounds, within the configured bounds.

    Where the mean of min(1, p/q) falls under `min_acceptance_ratio` over a full window the draft is parked: rounds
    draft nothing, but every sixteenth is a trial with the least length, and a good trial ends the parking.
    """

    def __init__(self, config: SpeculativeConfig, shared: SharedCosts | None = None) -> None:
        self.shared = shared
        self._config = config
        self._length = min(max(config.lookahead, config.min_lookahead), config.max_lookahead)
        self._rounds: deque[tuple[int, int]] = deque(maxlen=_WINDOW_ROUNDS)
        self._ratios: deque[float] = deque(maxlen=_WINDOW_ROUNDS * config.max_lookahead)
        self._parked_rounds: int | None = None

    def begin(self) -> None:
        """Nothing to unlearn: it is made anew for each answer."""

    def end(self) -> None:
        """Nothing is left."""

    def plan(self, options: Sequence[Option], room: int) -> Plan:
        """The present length, or nothing while parked."""
        if self._parked_rounds is None:
            reason = f"acceptance {self._acceptance():.0%} keeps this length"
            return chain_by_first(options, min(self._length, room), reason)
        if self._parked_rounds % _TRIAL_EVERY == _TRIAL_EVERY - 1:
            return chain_by_first(options, min(self._config.min_lookahead, room), "a try while parked")
        return Plan(None, 0, "parked: the target finds the drafts improbable", parked=True)

    def expects_to_draft(self, options: Sequence[Option], room: int) -> bool:
        """Unless parked."""
        return self._parked_rounds is None

    def likely_rows(self, options: Sequence[Option], room: int) -> Sequence[int]:
        """Those of the present length, and of one more and fewer."""
        return [min(length, room) + 1 for length in (self._length, self._length + 1, self._length - 1)]

    def rows(self, count: int) -> int:
        """As many as there are tokens: it knows no times."""
        return count

    def observe(self, round_: Observation) -> None:
        """Learn from a round, parked or not."""
        if self._parked_rounds is not None:
            self._parked_rounds += 1
        if round_.tested == 0:
            return
        self._rounds.append((round_.tested, round_.accepted))
        self._ratios.extend(min(1.0, ratio) for ratio in round_.ratios)
        acceptance = self._acceptance()
        if acceptance > _LENGTHEN_ABOVE:
            self._length = min(self._length + 1, self._config.max_lookahead)
        elif acceptance < _SHORTEN_BELOW:
            self._length = max(self._length - 1, self._config.min_lookahead)
        self._park_or_resume(round_.ratios)

    def observe_shadow(self, option: Option, proposed: int, accepted: int) -> None:
        """Nothing to learn: this controller judges what was used."""

    @property
    def plain_step_ms(self) -> float | None:
        """Unknown: it watches no times."""
        return None

    def _acceptance(self) -> float:
        return sum(accepted for _, accepted in self._rounds) / max(1, sum(tested for tested, _ in self._rounds))

    def _park_or_resume(self, ratios: Sequence[float]) -> None:
        least = self._config.min_acceptance_ratio
        if self._parked_rounds is not None:
            mean = sum(min(1.0, ratio) for ratio in ratios) / max(1, len(ratios))
            if mean >= least:
                self._parked_rounds = None
                self._rounds.clear()
                self._ratios.clear()
        elif len(self._rounds) == _WINDOW_ROUNDS and sum(self._ratios) < least * len(self._ratios):
            self._parked_rounds = 0
