"""One round of one answer under way: what was planned, and what is on its way to the device."""

from dataclasses import dataclass

import mlx.core as mx

from mlx_spec.acceptance.tree import TokenTree
from mlx_spec.config import AcceptanceRule
from mlx_spec.decoding.clock import RoundClock
from mlx_spec.decoding.drafters.base import Draft
from mlx_spec.decoding.judge import Verdict
from mlx_spec.lookahead.plan import Option, Plan


@dataclass(slots=True)
class Round:
    """The round `index` of its answer, which decides the tokens from absolute `position` on.

    `option` is what the plan chose, `draft` what came of it: None for plain decoding, and where the drafter had nothing
    to say. `rule` judges it; the `verdict`, lazy, is there once the target has been asked. In `company` it was asked
    for other answers too, and the round's times are theirs as much as its own.
    """

    index: int
    position: int
    plan: Plan
    option: Option | None
    draft: Draft | None
    rule: AcceptanceRule
    clock: RoundClock
    verdict: Verdict | None = None
    company: bool = False

    @property
    def draft_ids(self) -> mx.array | None:
        """What was drafted `[gamma]`; None without a draft."""
        return self.draft.token_ids if self.draft else None

    @property
    def tree(self) -> TokenTree | None:
        """The draft's tree; None for a chain, and without a draft."""
        return self.draft.tree if self.draft else None

    @property
    def passes(self) -> int:
        """Forward passes of the draft."""
        return self.draft.passes if self.draft else 0

    @property
    def draft_ms(self) -> float:
        """What drafting added to the round, once it is read."""
        return self.clock.draft_ms if self.draft else 0.0

    @property
    def verify_ms(self) -> float:
        """The round without its drafting, once it is read. Without a draft it is the target's pass that was launched,
        and has run since."""
        return self.clock.verify_ms if self.draft else self.clock.whole_ms
