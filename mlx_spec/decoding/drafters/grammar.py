"""What a grammar forces is proposed: keys, colons and quotes that must come anyway. No model.

Host integers only. The text is forced, its tokens are not: the usual ones are proposed, and the target judges.
"""

from collections.abc import Sequence
from typing import Protocol

import mlx.core as mx

from mlx_spec.decoding.drafters.base import Draft, Drafter


class Forcing(Protocol):
    """A grammar that knows what must come; `mlx_spec.decoding.constraints.matcher.Matcher` is the real one."""

    def forced(self, path: tuple[int, ...] = ()) -> Sequence[int]:
        """The tokens that must come behind the drafts of `path`; none where there is a choice."""
        ...

    def allowed(self, token_ids: Sequence[int]) -> int:
        """How many of these drafts, from the first on, may stand."""
        ...


class GrammarDrafter(Drafter):
    """Proposes the forced text, and nothing where the grammar leaves a choice.

    A draft is a function of the decided text, without a distribution: exact under every rule.
    """

    def __init__(self, forcing: Forcing) -> None:
        self._forcing = forcing

    @property
    def is_model(self) -> bool:
        """It looks at the grammar only."""
        return False

    def limit(self, longest: int) -> int:
        """As much as is forced."""
        return min(max(0, longest), len(self._forcing.forced()))

    def shadow(self, longest: int) -> Sequence[int]:
        """What is forced, up to `longest` tokens."""
        return self._forcing.forced()[: max(0, longest)]

    def propose(self, position: int, gamma: int, round_index: int) -> Draft | None:
        """The first `gamma` forced tokens; None where there are none."""
        token_ids = list(self.shadow(gamma))
        return Draft(mx.array(token_ids, dtype=mx.int32), None, greedy=True) if token_ids else None

    def prefill(self, token_ids: Sequence[int]) -> None:
        """The grammar is about the answer alone, and is told it by others."""

    def commit(self, token_ids: Sequence[int], accepted: int) -> None:
        """As `prefill`."""
