"""The same length or tree in every round, 0 being plain decoding."""

from collections.abc import Sequence

from mlx_spec.acceptance.tree import Shape
from mlx_spec.lookahead.plan import Observation, Option, Plan, chain_by_first
from mlx_spec.lookahead.shared_costs import SharedCosts


class FixedLookahead:
    """Always the same length, 0 being plain decoding; or, with a `shape`, the same tree where a drafter can branch."""

    def __init__(self, length: int, shape: Shape | None = None, shared: SharedCosts | None = None) -> None:
        self.shared = shared
        self._length, self._shape = length, shape

    def begin(self) -> None:
        """Nothing was learnt."""

    def end(self) -> None:
        """Nothing is left."""

    def plan(self, options: Sequence[Option], room: int) -> Plan:
        """The fixed length or tree, by the first drafter that has anything to say."""
        if self._shape is not None and options and options[0].trees and room >= self._shape.depth:
            return Plan(options[0].drafter, self._shape.depth, "the tree is fixed", shape=self._shape)
        return chain_by_first(options, min(self._length, room), "the length is fixed" if self._length else "no drafter")

    def expects_to_draft(self, options: Sequence[Option], room: int) -> bool:
        """Always, but for plain decoding."""
        return self._length > 0

    def likely_rows(self, options: Sequence[Option], room: int) -> Sequence[int]:
        """Those of the fixed length or tree."""
        return ((self._shape.size if self._shape else min(self._length, room)) + 1,)

    def rows(self, count: int) -> int:
        """As many as there are tokens: it knows no times."""
        return count

    def observe(self, round_: Observation) -> None:
        """Nothing to learn."""

    def observe_shadow(self, option: Option, proposed: int, accepted: int) -> None:
        """Nothing to learn."""

    @property
    def plain_step_ms(self) -> float | None:
        """Unknown: it watches no times."""
        return None
