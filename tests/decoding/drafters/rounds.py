"""A text that grows round by round under a drafter, with states and decisions that are drawn, not computed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_spec.acceptance.tree import Shape, TokenTree
from mlx_spec.config import SamplingParams
from mlx_spec.decoding.drafters.base import Draft, DrawSettings
from mlx_spec.sampling.gumbel import NoiseTable
from mlx_spec.sampling.penalties import Penalties
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
        shape: Shape | None = None,
    ) -> None:
        """A prompt in chunks, then rounds of which `accepted` drafts stand (of a tree, a path of so many); `check` sees
        each draft."""
        self.token_ids = self.rng.integers(0, TINY_VOCAB, prompt).tolist()
        known = self.token_ids[:-1]
        for begin in range(0, len(known), chunk):
            part = known[begin : begin + chunk]
            self._read(drafter, part)
            drafter.prefill(part) if eager else drafter.commit(part, 0)
        drafter.commit(self.token_ids[-1:], 0)
        for index, stands in enumerate(accepted):
            if shape is None:
                draft = drafter.propose(len(self.token_ids), gamma, index)
            else:
                draft = drafter.propose_tree(len(self.token_ids), shape, index)
            check(self, draft)
            path = longest_path(draft.nodes, self.rng)[:stands]
            kept = [int(np.array(draft.token_ids)[node - 1]) for node in path]
            self._read(drafter, [self.token_ids[-1], *kept])
            new = [*kept, int(self.rng.integers(0, TINY_VOCAB))]
            self.token_ids.extend(new)
            if draft.tree is None:
                drafter.commit(new, len(path))
            else:
                drafter.commit_tree(new, path)


def longest_path(tree: TokenTree, rng: np.random.Generator) -> tuple[int, ...]:
    """Nodes down to one of the deepest leaves."""
    deepest = [node for node, depth in enumerate(tree.depths) if depth == tree.depth]
    return tree.path(int(rng.choice(deepest)))


def path_tokens(draft: Draft, node: int) -> list[int]:
    """The tokens from the root's child down to `node`."""
    return [int(np.array(draft.token_ids)[above - 1]) for above in draft.nodes.path(node)]


def kept_of(drafter: Any, width: int, *, tokens: int = 16384, chunk: int = 64) -> float:
    """Bytes that a drafter keeps of a text that it was never asked about, over those of the target's states of it."""
    mx.synchronize()
    before = mx.get_active_memory()
    for _ in range(tokens // chunk):
        states = mx.random.normal((chunk, width))
        mx.eval(states)
        drafter.read(states, [0] * chunk)
        drafter.commit([0] * chunk, 0)
    del states
    mx.synchronize()
    return (mx.get_active_memory() - before) / (tokens * width * 4)
