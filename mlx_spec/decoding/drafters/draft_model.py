"""A small language model with the target's vocabulary as the drafter."""

from collections.abc import Sequence
from typing import Any, cast

import mlx.core as mx

from mlx_spec.acceptance.tree import Shape
from mlx_spec.decoding.cache.blocks.chain import Beginning
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.snapshot import Snapshot
from mlx_spec.decoding.cache.stretches import Span, Stretch
from mlx_spec.decoding.cache.together import Part, score_together
from mlx_spec.decoding.drafters.base import Draft, DrawSettings, TreeDrafter
from mlx_spec.decoding.drafters.confidence import Confidence, Least
from mlx_spec.decoding.drafters.growth import Grown, growth
from mlx_spec.decoding.drafters.levels import Ask, Levels, alone
from mlx_spec.sampling.distribution import scores


class DraftModel(TreeDrafter):
    """Drafts by running its own model token after token, each fed to the next without leaving the device.

    Its cache holds every token of the answer but the newest ones, which wait in `_pending` until the next proposal
    feeds them in one pass: the last token always, after a full acceptance also the last draft, whose own keys and
    values were never computed, and all tokens of rounds that drafted nothing.

    A chain ends where the draft has less than `least_confidence`; see `Confidence`. `kv_bits`: see `CachedModel`.
    What a grammar forces stands in its chains as it is, and is read with the next token that it draws.
    """

    held_in = ("_model",)

    def __init__(
        self,
        model: Any,
        name: str,
        draw: DrawSettings,
        *,
        least_confidence: Least = 0.0,
        kv_bits: int | None = None,
    ) -> None:
        self._model = CachedModel(model, name, speculative=True, kv_bits=kv_bits)
        self._draw = draw
        self._confidence = Confidence(least_confidence)
        self._pending: list[int] = []
        self._held = 0  # tokens of the text in the cache
        self._fed = 0
        self._grown: Grown | None = None

    @property
    def forced(self) -> int:
        """See `Drafter.forced`."""
        return len(self._draw.forced(())) if self._draw.forced is not None else 0

    @property
    def behind(self) -> int:
        """Tokens of the text, beside the newest, that the next proposal has to read first."""
        return max(0, len(self._pending) - 1)

    def point(self, length: int) -> Snapshot | None:
        """See `Drafter.point`."""
        return self._model.point(length) if self._held == length and not self._model.begins_anywhere else None

    def cut_up(self, spans: Sequence[Span]) -> list[Stretch | None]:
        """As far as it has read the text."""
        held = [span for span in spans if span[1] <= self._held]
        return [*self._model.cut_up(held), *([None] * (len(spans) - len(held)))]

    def begin(self, beginning: Beginning, token_ids: Sequence[int]) -> None:
        """Hold what there is, and read the rest with the next proposal."""
        held = min(beginning.length, len(token_ids))
        if not self._model.begins_anywhere:
            held = beginning.point(held)
        if held:
            self._model.begin_with(beginning.until(held), beginning.points.get(held))
        self._held = held
        self._pending.extend(token_ids[held:])

    def prefill(self, token_ids: Sequence[int]) -> None:
        """Process a chunk of the prompt."""
        self._model.prefill(token_ids)
        self._held += len(token_ids)

    def propose(self, position: int, gamma: int, round_index: int) -> Draft:
        """Draft a chain of `gamma` tokens, or of fewer where it grows unsure; lazily but for that."""
        return alone(self.proposing(position, gamma, round_index))

    def proposing(self, position: int, gamma: int, round_index: int) -> Levels[Draft]:
        """`propose`, a token a level; what is forced needs none."""
        rows: list[mx.array] = []
        drawn: list[mx.array] = []
        passes = 0
        while len(drawn) < gamma and not self._confidence.ends_here(rows):
            if forced := self._draw.forced_behind(drawn, gamma - len(drawn)):
                rows += map(self._draw.point_mass, forced)
                drawn += [mx.array([token_id], dtype=mx.int32) for token_id in forced]
                continue
            if not passes:  # those are the answer's; only drafts are ever forgotten
                self._held += len(self._pending)
                self._pending = self._model.catch_up(self._pending)
            kept = 0 if passes else len(self._pending)
            known = [mx.array(self._pending, dtype=mx.int32), *drawn[self._fed :]]
            self._pending, self._fed, passes = [], len(drawn), passes + 1
            logits = self._fitted((yield self._asked(mx.concatenate(known), kept))[-1:])
            drafted = mx.concatenate(drawn) if drawn else None
            row = scores(self._draw.penalties.apply(logits, drafted), self._draw.params)[0]
            rows.append(row)
            drawn.append(self._draw.choose(row, position + len(drawn), round_index)[None])
        draft = Draft(mx.concatenate(drawn), mx.stack(rows), greedy=self._draw.params.greedy, passes=passes)
        return draft.first(self._confidence.length(rows))

    @property
    def takes_trees(self) -> bool:
        """Whether its cache can hold a tree that grows level by level."""
        return self._model.takes_trees(in_passes=True)

    def propose_tree(self, position: int, shape: Shape, round_index: int) -> Draft:
        """Draft a tree: one pass a level."""
        return alone(self.proposing_tree(position, shape, round_index))

    def proposing_tree(self, position: int, shape: Shape, round_index: int) -> Levels[Draft]:
        """`propose_tree`, a level a level."""
        self._held += len(self._pending)
        self._pending = self._model.catch_up(self._pending)
        logits = yield self._asked(mx.array(self._pending, dtype=mx.int32), len(self._pending))
        root = scores(self._draw.penalties.apply(self._fitted(logits[-1:])), self._draw.params)[0]
        self._pending, drafted = [], []
        growing = growth(shape, self._draw, position, round_index, root)
        try:
            level = next(growing)
            while True:
                logits = self._fitted((yield self._asked(level.token_ids, placement=level.placement)))
                drafted.append(level.token_ids)
                penalised = self._draw.penalties.apply(logits, mx.concatenate(drafted), level.placement.seen)
                level = growing.send(scores(penalised, self._draw.params))
        except StopIteration as end:
            self._grown = grown = cast(Grown, end.value)
        return grown.draft

    def commit_tree(self, token_ids: Sequence[int], path: Sequence[int]) -> None:
        """Bring the cache in step with the answer: the path's nodes were its own."""
        assert self._grown is not None, "commit_tree follows propose_tree"
        kept = self._grown.kept(path)
        self._model.choose(kept)
        self._grown = None
        self._held += len(kept)
        self._pending.extend(token_ids[len(kept) :])

    def commit(self, token_ids: Sequence[int], accepted: int) -> None:
        """Bring the cache in step with the answer."""
        kept = min(accepted, self._fed)
        self._model.forget(self._fed - kept)
        self._fed = 0
        self._held += kept
        self._pending.extend(token_ids[kept:])

    def _asked(self, token_ids: mx.array, kept: int = 0, placement: Placement | None = None) -> Ask:
        return Ask(score_together, Part(self._model, token_ids, kept, placement))

    def _fitted(self, logits: mx.array) -> mx.array:
        """Logits `[n, vocab]` at the target's width: what is beyond the shared vocabulary is padding on both sides."""
        width, vocab_size = logits.shape[-1], self._draw.noise.vocab_size
        if width >= vocab_size:
            return logits[:, :vocab_size]
        padding = mx.full((logits.shape[0], vocab_size - width), -mx.inf, dtype=logits.dtype)
        return mx.concatenate([logits, padding], axis=-1)
