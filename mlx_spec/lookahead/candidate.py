"""One possible round, and what it is expected to bring; and what a drafter promises in a step that answers share.
Values; they know neither how that was found out nor who plans."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlx_spec.acceptance.tree import Shape
from mlx_spec.lookahead.plan import Option


@dataclass(frozen=True, slots=True)
class Candidate:
    """A round that could come next: a draft of `length` tokens by `option`, None and 0 for a plain step.

    `tokens` are the expected ones, the target's own included, `milliseconds` the expected time of draft and pass
    together. With a `shape` the draft is a tree, and `length` its depth.
    """

    option: Option | None
    length: int
    tokens: float
    milliseconds: float
    shape: Shape | None = None

    @property
    def rate(self) -> float:
        """Tokens a millisecond."""
        return self.tokens / self.milliseconds

    def is_longer(self, other: "Candidate") -> bool:
        """Whether it is the other with one more token behind it."""
        if self.option != other.option or self.length != other.length + 1:
            return False
        if self.shape is None or other.shape is None:
            return self.shape is other.shape
        return self.shape.nodes is None and self.shape.branching[:-1] == other.shape.branching

    def is_like(self, other: "Candidate | None") -> bool:
        """Whether it is the same decision, apart from how sure the drafter is this time."""
        if other is None or self.length != other.length or self.shape != other.shape:
            return False
        return (self.option and self.option.drafter) == (other.option and other.option.drafter)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the drafter of an `option` can do for its answer in a step that others share.

    `rates` are its odds by place, as `Acceptance.rates` has them: for so many tokens at most. Alone, a pass of it takes
    `step_ms`, and each further token in it `token_ms`. `unread_ms` is what it takes to read what it fell behind by, of
    which `dear_ms` has to be paid by a trial.
    """

    option: Option
    rates: Sequence[tuple[float, float]]
    step_ms: float
    token_ms: float
    unread_ms: float
    dear_ms: float
