"""Medusa heads as the drafter: all tokens of a chain at once, from the target's last state."""

from collections.abc import Sequence

import mlx.core as mx

from mlx_spec.acceptance.tree import Shape
from mlx_spec.decoding.cache.blocks.chain import Beginning
from mlx_spec.decoding.drafters.at_once import draft_chain, draft_tree
from mlx_spec.decoding.drafters.base import Draft, DrawSettings, Reader, TreeDrafter
from mlx_spec.decoding.drafters.confidence import Confidence, Least
from mlx_spec.decoding.drafters.levels import Ask, Levels, alone
from mlx_spec.models.heads.medusa import MedusaHeads


class MedusaDrafter(Reader, TreeDrafter):
    """One pass a proposal, whatever its length; each token is guessed without knowing those before it.

    The state read is the target's before the newest token: what follows that one, the first head guesses.
    """

    held_in = ("_state",)

    def __init__(self, heads: MedusaHeads, draw: DrawSettings, *, least_confidence: Least = 0.0) -> None:
        self._heads, self._draw = heads, draw
        self._confidence = Confidence(least_confidence)
        self._state: mx.array | None = None

    @property
    def taps(self) -> tuple[int, ...]:
        """See `Reader.taps`."""
        return self._heads.taps

    def read(self, features: mx.array, token_ids: Sequence[int]) -> None:
        """See `Reader.read`."""
        self._state = features[-1]

    def begin(self, beginning: Beginning, token_ids: Sequence[int]) -> None:
        """Nothing is kept of the text."""

    def prefill(self, token_ids: Sequence[int]) -> None:
        """Nothing is kept of the text."""

    def propose(self, position: int, gamma: int, round_index: int) -> Draft | None:
        """A chain of as many tokens as there are heads at most; None before the target has read anything."""
        return alone(self.proposing(position, gamma, round_index))

    def proposing(self, position: int, gamma: int, round_index: int) -> Levels[Draft | None]:
        """`propose`, in one pass."""
        if self._state is None:
            return None
        logits = yield Ask(self._heads.logits, (self._state, min(gamma, self._heads.count)))
        return draft_chain(logits, self._draw, self._confidence, position, round_index)

    @property
    def takes_trees(self) -> bool:
        """Any: the heads' candidates for a place are the same behind every node."""
        return True

    def propose_tree(self, position: int, shape: Shape, round_index: int) -> Draft | None:
        """A tree of as many levels as there are heads at most; None before the target has read anything."""
        return alone(self.proposing_tree(position, shape, round_index))

    def proposing_tree(self, position: int, shape: Shape, round_index: int) -> Levels[Draft | None]:
        """`propose_tree`, in one pass."""
        if self._state is None:
            return None
        logits = yield Ask(self._heads.logits, (self._state, min(shape.depth, self._heads.count)))
        return draft_tree(logits, shape, self._draw, position, round_index)

    def commit_tree(self, token_ids: Sequence[int], path: Sequence[int]) -> None:
        """Nothing is kept of the text."""

    def commit(self, token_ids: Sequence[int], accepted: int) -> None:
        """Nothing is kept of the text."""
