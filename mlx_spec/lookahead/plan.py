"""What a controller is asked before a round, what it answers, and what it is told after it. Values; knows no model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mlx_spec.acceptance.tree import Shape
from mlx_spec.lookahead.shared_costs import SharedCosts


@dataclass(frozen=True, slots=True)
class Option:
    """What one drafter could do in the next round: propose up to `limit` tokens.

    `trust` tells apart situations in which its proposals fare differently (a longer match of an n-gram), `behind` is
    how many tokens of the text it has yet to read, `trees` whether it may branch. The first `forced` tokens take it no
    pass, as a grammar tells them. `guess` is the chance that each of its tokens is right, where a client predicts them:
    such a chain may be as long as `limit`, whatever is usual. Among other answers each drafts `alone`, unless its
    passes can be theirs too.
    """

    drafter: str
    limit: int
    trust: int = 0
    behind: int = 0
    trees: bool = False
    forced: int = 0
    guess: float | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The next round: `length` tokens by `drafter`, None and 0 for plain decoding; and why, for people to read.

    `parked`: there is a draft, and it is not worth its time. With a `shape` it is a tree, and `length` its depth. Where
    it was planned for many answers together, `expected` are the drafted tokens that its odds let stand, and `step_ms`
    is what the step of all is expected to take.
    """

    drafter: str | None
    length: int
    reason: str
    parked: bool = False
    shape: Shape | None = None
    expected: float = 0.0
    step_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Observation:
    """What came of a round: how many tokens were asked for, drafted, tested and accepted, and its times.

    `ratios` holds p/q of each tested token that has a q. `verify_ms` is the round without its drafting; where it is not
    `telling` it says nothing of the passes to come. `passes` are the draft's forward passes: no more than were
    needed where it stops as soon as it is unsure. Of a tree of `shape`, `asked` is the depth, and `hits` holds for each
    place that was tested how many tokens were proposed for it and which of them was right, from 1; 0 for none.
    `padded` are the rows of the pass beyond what was drafted and the known token; see `LookaheadController.rows`.
    Where the passes were `shared` with other answers its times are no times of passes alone, whatever they are.
    """

    option: Option | None
    asked: int
    drafted: int
    tested: int
    accepted: int
    ratios: Sequence[float]
    draft_ms: float
    verify_ms: float
    passes: int = 0
    shape: Shape | None = None
    hits: Sequence[tuple[int, int]] = ()
    telling: bool = True
    padded: int = 0
    shared: bool = False

    @property
    def rows(self) -> int:
        """Of the target's pass."""
        return self.drafted + 1 + self.padded


class LookaheadController(Protocol):
    """Plans each round; told after each what came of it. `shared` is what is known of passes that several answers
    share, the same for all of them; None where nobody watches that."""

    shared: SharedCosts | None

    def begin(self) -> None:
        """Be told that another answer begins: other words, on the same machine."""
        ...

    def end(self) -> None:
        """Be told that the answer is over, or planned by somebody else; twice is once."""
        ...

    def plan(self, options: Sequence[Option], room: int) -> Plan:
        """Plan the next round, drafting at most `room` tokens. The first option is the preferred one."""
        ...

    def expects_to_draft(self, options: Sequence[Option], room: int) -> bool:
        """Whether `plan` would draft, as far as can be told without deciding it."""
        ...

    def likely_rows(self, options: Sequence[Option], room: int) -> Sequence[int]:
        """The rows of the passes that the next rounds will most likely make, the likeliest first."""
        ...

    def rows(self, count: int) -> int:
        """How many rows a pass over `count` tokens should have: more where that is measured to take less time."""
        ...

    def observe(self, round_: Observation) -> None:
        """Be told of a finished round."""
        ...

    def observe_shadow(self, option: Option, proposed: int, accepted: int) -> None:
        """Be told how many of the `proposed` tokens of a shadow proposal the target would have accepted: one that
        was looked at and not used, which is done only where looking costs nothing."""
        ...

    @property
    def plain_step_ms(self) -> float | None:
        """What a plain step would cost now, by the calibration and the rounds since; None where that is unknown."""
        ...


def chain_by_first(options: Sequence[Option], length: int, reason: str) -> Plan:
    """A draft by the first option that has anything to propose."""
    if length > 0:
        for option in options:
            if option.limit > 0:
                return Plan(option.drafter, min(length, option.limit), reason)
    return Plan(None, 0, "nothing to draft" if length > 0 else reason)
