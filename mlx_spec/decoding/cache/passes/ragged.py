"""One forward pass over the rows of many answers, each with its own number of them, its own position and caches.

All rows are laid side by side as one sequence: embeddings, norms, projections, experts and the head see them all, so
that weights are read once. What an answer has for itself is told apart again where it is used; see `apart`.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import mlx.core as mx
from mlx_lm.models.cache import _BaseCache

from mlx_spec.decoding.cache.passes.apart import ApartCache, Rows
from mlx_spec.decoding.cache.passes.attention import AttentionSeam
from mlx_spec.decoding.cache.passes.dividing import Depth, Divisions
from mlx_spec.decoding.cache.passes.forward import PassOutput
from mlx_spec.decoding.cache.passes.placement import Placement, placed
from mlx_spec.decoding.cache.passes.slots import PlacedSlots, Slots, few_of, held, make_room
from mlx_spec.decoding.cache.passes.stand_ins import StandIns
from mlx_spec.models.taps import Taps

_NAME: Final = "_lookahead_ragged_passes"


@dataclass(frozen=True, slots=True)
class RaggedPart:
    """What one answer brings to a pass: its tokens `[n]`, its caches, and their placement where they are of a tree."""

    token_ids: mx.array
    caches: Sequence[Any]
    placement: Placement | None = None


class RaggedPasses:
    """How passes over the rows of many answers are made with one model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._seam = AttentionSeam(model)
        self._divisions = Divisions(model)
        self._stand_ins = StandIns(model)
        self._taps: dict[tuple[int, ...], Taps] = {}

    def run(
        self, parts: Sequence[RaggedPart], depth: Depth, layers: tuple[int, ...] = (), *, in_slots: bool = False
    ) -> list[PassOutput]:
        """One pass, lazily; what it gives each answer. `layers` are listened to, for all of them.

        `in_slots` it has the operations, and so the bits, of compiled passes. What the model's own code raises comes
        through: `depth` is a way that was tried with it.
        """
        if layers and layers not in self._taps:
            self._taps[layers] = Taps(self.model, layers)
        counts = [part.token_ids.shape[0] for part in parts]
        token_ids = mx.concatenate([part.token_ids for part in parts])
        if not in_slots:
            every = [placed(part.caches, part.placement) if part.placement else part.caches for part in parts]
            by_token = any(part.placement for part in parts)
            return self._run(token_ids, every, Rows(counts), depth, layers, by_token=by_token)
        slots = [_slots(part) for part in parts]
        positions = mx.concatenate([_positions(part, seen[0]) for part, seen in zip(parts, slots, strict=True)])
        with self._stand_ins.few_operations(rotations=True):
            scored = self._run(token_ids, slots, Rows(counts, positions), depth, layers, by_token=True)
        for part, seen in zip(parts, slots, strict=True):
            for cache, slot in zip(part.caches, seen, strict=True):
                cache.keys, cache.values = slot.keys, slot.values
                cache.offset += part.token_ids.shape[0]
        return scored

    def _run(
        self,
        token_ids: mx.array,
        caches: Sequence[Sequence[Any]],
        rows: Rows,
        depth: Depth,
        layers: tuple[int, ...],
        *,
        by_token: bool,
    ) -> list[PassOutput]:
        with ExitStack() as built:
            built.enter_context(self._seam.opened())  # at every depth: an answer's keys may lie in blocks
            if depth == "attention" or by_token:
                built.enter_context(self._stand_ins.rotating_by_token(all_of_them=False))
            built.enter_context(self._divisions.divided(depth, rows))
            states = built.enter_context(self._taps[layers].listening()) if layers else []
            logits = self.model(token_ids[None], cache=_apart(caches, rows))
        every = rows.split(logits[0], 0)
        if not layers:
            return [PassOutput(one) for one in every]
        heard = rows.split(mx.concatenate([state[0] for state in states], axis=-1), 0)
        return [PassOutput(one, features) for one, features in zip(every, heard, strict=True)]


def _slots(part: RaggedPart) -> list[Slots]:
    """What the model sees of an answer's KVCaches, which have room for its tokens then."""
    for cache in part.caches:
        make_room(cache, part.token_ids.shape[0])
    offset = mx.array(part.caches[0].offset, dtype=mx.int32)
    if part.placement is None:
        return [Slots(held(cache), offset, few_of(cache)) for cache in part.caches]
    at = part.placement.depths + (offset - part.placement.earlier)
    return [PlacedSlots(held(cache), offset, few_of(cache), part.placement, at) for cache in part.caches]


def _positions(part: RaggedPart, slot: Slots) -> mx.array:
    return slot.offset if part.placement else mx.arange(part.token_ids.shape[0]) + slot.offset


def _apart(caches: Sequence[Sequence[Any]], rows: Rows) -> list[Any]:
    """Of each answer's caches, one for each layer: those of each layer, one of each answer."""
    return [
        None if each[0] is None or type(each[0]) is _BaseCache else ApartCache(each, rows)
        for each in zip(*caches, strict=True)
    ]


def ragged_passes(model: Any) -> RaggedPasses:
    """Those of a model, made once. They hang on the model, as they hold its modules and should end with it."""
    found: RaggedPasses | None = vars(model).get(_NAME)
    if found is None or found.model is not model:  # a copy of a model has the attributes of the first
        found = vars(model)[_NAME] = RaggedPasses(model)
    return found
