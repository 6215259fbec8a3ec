"""Medusa heads as the drafter: all tokens of a chain at once, from the target's last state."""

from collections.abc import Sequence

import mlx.core as mx

from mlx_spec.drafters.base import Draft, DrawSettings
from mlx_spec.drafters.confidence import Confidence, Least
from mlx_spec.models.heads.medusa import MedusaHeads
from mlx_spec.sampling import scores


class MedusaDrafter:
    """One pass a proposal, whatever its length; each token is guessed without knowing those before it.

    The state read is the target's before the newest token: what follows that one, the first head guesses.
    """

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

    def prefill(self, token_ids: Sequence[int]) -> None:
        """Nothing is kept of the text."""

    def propose(self, position: int, gamma: int, round_index: int) -> Draft | None:
        """A chain of as many tokens as there are heads at most; None before the target has read anything."""
        if self._state is None:
            return None
        logits = self._heads.logits(self._state, min(gamma, self._heads.count))
        rows: list[mx.array] = []
        drawn: list[mx.array] = []
        for place in range(logits.shape[0]):
            drafted = mx.concatenate(drawn) if drawn else None
            rows.append(scores(self._draw.penalties.apply(logits[place][None], drafted), self._draw.params)[0])
            drawn.append(self._draw.choose(rows[-1], position + place, round_index)[None])
        draft = Draft(mx.concatenate(drawn), mx.stack(rows), greedy=self._draw.params.greedy, passes=1)
        return draft.first(self._confidence.length(rows))

    def commit(self, token_ids: Sequence[int], accepted: int) -> None:
        """Nothing is kept of the text."""
