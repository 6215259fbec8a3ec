"""A text that grows round by round under a drafter, with states and decisions that are drawn, not computed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_spec.config import SamplingParams
from mlx_spec.drafters.base import Draft, DrawSettings
from mlx_spec.penalties import Penalties
from mlx_spec.sampling import NoiseTable
from tests.tiny import TINY_VOCAB

Accepted = tuple[int, ...]
REJECTIONS: Accepted = (4, 0, 2, 1, 4, 3)


def settings(seed: int = 0, **params: Any) -> DrawSettings:
    """At temperature 1, so that scores are the head's own logits."""
    sampling = SamplingParams(**{"temperature": 1.0, "seed": seed} | params)
    return DrawSettings(sampling, "coupled", seed, NoiseTable(seed, TINY_VOCAB), Penalties(sampling, TINY_VOCAB))


@dataclass
class Text:
    """Tokens, and the target's states `[width]` after each of them but the newest."""

    width: int
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))
    token_ids: list[int] = field(default_factory=list)
    states: list[NDArray[np.float32]] = field(default_factory=list)

    def features(self) -> NDArray[np.float64]:
        return np.stack(self.states).astype(np.float64)

    def _read(self, drafter: Any, token_ids: list[int]) -> None:
        new = self.rng.standard_normal((len(token_ids), self.width)).astype(np.float32)
        self.states.extend(new)
        drafter.read(mx.array(new), token_ids)

    def run(
        self,
        drafter: Any,
        check: Callable[["Text", Draft], None],
        *,
        prompt: int = 11,
        chunk: int = 4,
        gamma: int = 4,
        accepted: Accepted = REJECTIONS,
        eager: bool = True,
    ) -> None:
        """A prompt in chunks, then rounds of which `accepted` drafts stand; `check` sees each draft."""
        self.token_ids = self.rng.integers(0, TINY_VOCAB, prompt).tolist()
        known = self.token_ids[:-1]
        for begin in range(0, len(known), chunk):
            part = known[begin : begin + chunk]
            self._read(drafter, part)
            drafter.prefill(part) if eager else drafter.commit(part, 0)
        drafter.commit(self.token_ids[-1:], 0)
        for index, stands in enumerate(accepted):
            draft = drafter.propose(len(self.token_ids), gamma, index)
            check(self, draft)
            stands = min(stands, draft.token_ids.shape[0])
            kept = [int(token_id) for token_id in np.array(draft.token_ids)[:stands]]
            self._read(drafter, [self.token_ids[-1], *kept])
            new = [*kept, int(self.rng.integers(0, TINY_VOCAB))]
            self.token_ids.extend(new)
            drafter.commit(new, stands)
