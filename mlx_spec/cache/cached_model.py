"""A causal language model together with the keys and values of the tokens it was given."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.cache.rollback import check_rollback, rollback


class CachedModel:
    """Draft and target are both held this way.

    With `speculative` the cache must be one that can be rolled back exactly; UnsupportedModelError otherwise.
    """

    def __init__(self, model: Any, name: str, *, speculative: bool) -> None:
        self._model = model
        self._caches = make_prompt_cache(model)
        if speculative:
            check_rollback(self._caches, name)

    def prefill(self, token_ids: Sequence[int]) -> None:
        """Add prompt tokens to the cache and wait until that is done. Their logits are never computed."""
        self._forward(mx.array(list(token_ids), dtype=mx.int32))
        mx.eval([cache.state for cache in self._caches])

    def score(self, token_ids: mx.array) -> mx.array:
        """Logits `[n, vocab]` (lazy) after each of `token_ids` `[n]`, in one forward pass; adds them to the cache."""
        return self._forward(token_ids)

    def forget(self, count: int) -> None:
        """Take the newest `count` tokens back out of the cache."""
        rollback(self._caches, count)

    def _forward(self, token_ids: mx.array) -> mx.array:
        logits: mx.array = self._model(token_ids[None], cache=self._caches)
        return logits[0]
