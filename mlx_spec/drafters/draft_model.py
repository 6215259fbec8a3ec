"""A small language model with the target's vocabulary as the drafter."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from mlx_spec.cache.cached_model import CachedModel
from mlx_spec.drafters.base import Draft, DrawSettings
from mlx_spec.sampling import Stream, gumbel, scores, stream_key


class DraftModel:
    """Drafts by running its own model token after token, each fed to the next without leaving the device.

    Its cache holds every token of the answer but the newest ones, which wait in `_pending` until the next proposal
    feeds them in one pass: the last token always, after a full acceptance also the last draft, whose own keys and
    values were never computed, and all tokens of rounds that drafted nothing.
    """

    def __init__(self, model: Any, name: str, draw: DrawSettings) -> None:
        self._model = CachedModel(model, name, speculative=True)
        self._draw = draw
        self._pending: list[int] = []
        self._fed = 0

    def prefill(self, token_ids: Sequence[int]) -> None:
        """Process a chunk of the prompt."""
        self._model.prefill(token_ids)

    def propose(self, position: int, gamma: int, round_index: int) -> Draft:
        """Draft a chain of `gamma` tokens, lazily."""
        known = mx.array(self._pending, dtype=mx.int32)
        rows, drawn = [], []
        for i in range(gamma):
            logits = self._fitted(self._model.score(known)[-1])[None]
            drafted = mx.concatenate(drawn) if drawn else None
            row = scores(self._draw.penalties.apply(logits, drafted), self._draw.params)[0]
            known = self._choose(row, position + i, round_index)[None]
            rows.append(row)
            drawn.append(known)
        self._pending = []
        self._fed = gamma - 1
        return Draft(mx.concatenate(drawn), mx.stack(rows), greedy=self._draw.params.greedy)

    def commit(self, token_ids: Sequence[int], accepted: int) -> None:
        """Bring the cache in step with the answer."""
        kept = min(accepted, self._fed)
        self._model.forget(self._fed - kept)
        self._fed = 0
        self._pending.extend(token_ids[kept:])

    def _fitted(self, logits: mx.array) -> mx.array:
        """Logits `[vocab]` at the target's width: the rows beyond the shared vocabulary are padding on either side."""
        width, vocab_size = logits.shape[-1], self._draw.noise.vocab_size
        if width >= vocab_size:
            return logits[:vocab_size]
        return mx.concatenate([logits, mx.full((vocab_size - width,), -mx.inf, dtype=logits.dtype)])

    def _choose(self, row: mx.array, position: int, round_index: int) -> mx.array:
        """Draw one token (0-d, int32) from scores `[vocab]`."""
        if not self._draw.params.greedy:
            row = row + self._noise(position, round_index)
        return mx.argmax(row).astype(mx.int32)

    def _noise(self, position: int, round_index: int) -> mx.array:
        if self._draw.rule == "coupled":
            return self._draw.noise.row(position)
        # Independent of the acceptance and recovery draws, and new each round: a position that is drafted again
        # must not repeat a draw whose outcome may already have steered the lookahead.
        key = stream_key(self._draw.seed, position, Stream.DRAFT, round_index)
        return gumbel(mx.array(key, dtype=mx.uint32), self._draw.noise.vocab_size)
