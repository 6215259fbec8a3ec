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
    to say. `rule` judges it; the `verdict`, lazy, is there once the target has been asked: for so many `answers`, in a
    pass of `pass_rows`, of which it has a share. Then the round's times are theirs as much as its own.
    """

    index: int
    position: int
    plan: Plan
    option: Option | None
    draft: Draft | None
    rule: AcceptanceRule
    clock: RoundClock
    verdict: Verdict | None = None
    answers: int = 1
    pass_rows: int = 1
    """0 where the last pass over the prompt has said what this one looks at."""
    pass_share: float = 1.0
    """Its part in the target's pass, by rows that are needed."""
    draft_share: float = 1.0
    """Its part in the drafting of all that were launched with it, by forward passes."""
    logits: mx.array | None = None
    """The target's, as it gave them, `[gamma + 1, vocab]`; only where log-probabilities were asked for."""

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
    def makes_pass(self) -> bool:
        """Whether it asks the target for a pass, or has a part in one."""
        return self.pass_rows > 0

    @property
    def is_shared(self) -> bool:
        """Whether its pass was other answers' too."""
        return self.answers > 1

    @property
    def draft_ms(self) -> float:
        """What drafting added to the round, once it is read: its share of that."""
        return self.draft_share * self.clock.draft_ms

    @property
    def verify_ms(self) -> float:
        """The round without its drafting, once it is read: the target's pass, its share by rows."""
        return self.pass_share * self.clock.verify_ms
