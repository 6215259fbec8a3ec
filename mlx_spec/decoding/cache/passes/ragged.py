"""One forward pass over the rows of many answers, each with its own number of them, its own position and caches.

All rows are laid side by side as one sequence: embeddings, norms, projections, experts and the head see them all, so
that weights are read once. What an answer has for itself is told apart again where it is used; see `apart`.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypedDict

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import _BaseCache

from mlx_spec.decoding.cache.passes.apart import ApartCache, Rows
from mlx_spec.decoding.cache.passes.attention import OwnWay, seam_of
from mlx_spec.decoding.cache.passes.dividing import Depth, Divisions
from mlx_spec.decoding.cache.passes.forward import PassOutput
from mlx_spec.decoding.cache.passes.placement import Placement, placed
from mlx_spec.decoding.cache.passes.shared_compiled import SharedCompiled
from mlx_spec.decoding.cache.passes.shared_slots import Seating, SharedSlots, layout_of
from mlx_spec.decoding.cache.passes.slots import Places, Slots, few_of, held, make_room, places_of, size_for
from mlx_spec.decoding.cache.passes.stand_ins import StandIns
from mlx_spec.decoding.cache.passes.ways import Attends, way_of
from mlx_spec.decoding.cache.trials import OTHERS, go
from mlx_spec.machine.kernels.products.layers import is_strict
from mlx_spec.models.splitting.order import in_order
from mlx_spec.models.splitting.share import share_of
from mlx_spec.models.taps import taps_at

_NAME: Final = "_lookahead_ragged_passes"
_LENGTHS: Final = 64
"""Rows attend to so many keys, or a multiple, of which the last are masked: whole numbers of a processor's vectors, so
that a row's sums are those of a pass over all slots, which end in zeros."""


@dataclass(frozen=True, slots=True)
class RaggedPart:
    """What one answer brings to a pass: its tokens `[n]`, its caches, and their placement where they are of a tree."""

    token_ids: mx.array
    caches: Sequence[Any]
    placement: Placement | None = None


class RaggedHow(TypedDict):
    """How one is made; see `RaggedPasses.run`."""

    in_slots: bool
    shares: bool
    attends: Attends


class RaggedPasses:
    """How passes over the rows of many answers are made with one model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._seam = seam_of(model)
        self._divisions = Divisions(model)
        self._stand_ins = StandIns(model)
        self._shared: dict[int, SharedSlots] = {}
        self._graphs = SharedCompiled()
        self.depths: tuple[Depth, ...] = ("attention", "mixer", "layer", "body")
        """How deep passes may be divided, where that is found to work."""
        self.shares = False
        """Whether answers may keep their keys in the same arrays, where all but the attention is shared."""

    def run(
        self,
        parts: Sequence[RaggedPart],
        depth: Depth,
        layers: tuple[int, ...] = (),
        *,
        in_slots: bool = False,
        shares: bool = True,
        attends: Attends = "plainly",
    ) -> list[PassOutput]:
        """One pass, lazily; what it gives each answer. `layers` are listened to, for all of them.

        `in_slots` it has the operations, and so the bits, of compiled passes. What the model's own code raises comes
        through: `depth` is a way that was tried with it. Where it `shares`, and they may, the answers' keys and values
        come to lie together, which pays if the same ones go on together.
        """
        if in_slots:
            return self._run_in_slots(parts, depth, layers, shares=shares and self.shares, attends=attends)
        way = way_of(attends)
        counts = [part.token_ids.shape[0] for part in parts]
        token_ids = mx.concatenate([part.token_ids for part in parts])
        every = [placed(part.caches, part.placement) if part.placement else part.caches for part in parts]
        by_token = any(part.placement for part in parts)
        rows = Rows(counts)
        return _split(self._run(token_ids, every, rows, depth, layers, by_token=by_token, way=way), rows)

    def leave_alone(self) -> None:
        """Have each answer's keys and values be its own again."""
        self._shared.clear()

    def _run_in_slots(
        self, parts: Sequence[RaggedPart], depth: Depth, layers: tuple[int, ...], *, shares: bool, attends: Attends
    ) -> list[PassOutput]:
        way, by_row = way_of(attends), attends == "by_row"
        places = [_places(part) for part in parts]
        groups = self._groups(parts, shares=shares and depth == "attention")
        ordered = [number for group in groups for number in group]
        counts = [part.token_ids.shape[0] for part in parts]
        token_ids = mx.concatenate([parts[number].token_ids for number in ordered])

        def build(token_ids: mx.array, seen: Sequence[Sequence[Any]], rows: Rows) -> PassOutput:
            with self._stand_ins.few_operations(rotations=True):
                return self._run(token_ids, seen, rows, depth, layers, by_token=True, way=way)

        with ExitStack() as built:
            seen = [
                built.enter_context(self._seen([parts[at] for at in group], [places[at] for at in group], whole=by_row))
                for group in groups
            ]
            scored = None
            chains = not any(part.placement for part in parts)
            # Others that make the same passes would have to count them alike.
            if len(seen) == 1 and chains and not by_row and share_of(self.model) is None:
                scored = self._graphs.run(token_ids, seen[0], build, (layers, is_strict(self.model)))
            if scored is None:
                positions = _positions([parts[number] for number in ordered], [places[number] for number in ordered])
                rows = Rows([sum(counts[number] for number in group) for group in groups], positions)
                scored = build(token_ids, seen, rows)
        found: list[PassOutput | None] = [None] * len(parts)
        each = Rows([counts[number] for number in ordered])
        for number, output in zip(ordered, _split(scored, each), strict=True):
            found[number] = output
            for cache in parts[number].caches:
                cache.offset += counts[number]
        return [output for output in found if output is not None]

    def _run(
        self,
        token_ids: mx.array,
        caches: Sequence[Sequence[Any]],
        rows: Rows,
        depth: Depth,
        layers: tuple[int, ...],
        *,
        by_token: bool,
        way: OwnWay | None,
    ) -> PassOutput:
        with ExitStack() as built:
            built.enter_context(self._seam.opened(way))  # at every depth: an answer's keys may lie in blocks
            if depth == "attention" or by_token:
                built.enter_context(self._stand_ins.rotating_by_token(all_of_them=False))
            built.enter_context(self._divisions.divided(depth, rows))
            states = built.enter_context(taps_at(self.model, layers).listening()) if layers else []
            built.enter_context(in_order(self.model))
            logits = self.model(token_ids[None], cache=_apart(caches, rows))
        features = mx.concatenate([state[0] for state in states], axis=-1) if layers else None
        scored = PassOutput(logits[0], features)
        if OTHERS:
            go(self.model, scored.logits)
        return scored

    def _groups(self, parts: Sequence[RaggedPart], *, shares: bool) -> list[list[int]]:
        """Which answers' keys lie in the same arrays: those of one length, if any."""
        alike: dict[Any, list[int]] = defaultdict(list)
        for number, part in enumerate(parts):
            is_shared = shares and few_of(part.caches[0]) is None
            alike[held(part.caches[0])[0].shape[2] if is_shared else (number,)].append(number)
        for size in self._shared.keys() - alike.keys():
            del self._shared[size]  # those who were in them are not written any more, or have grown
        return list(alike.values())

    @contextmanager
    def _seen(self, parts: Sequence[RaggedPart], places: Sequence[Places], *, whole: bool) -> Iterator[Sequence[Any]]:
        """What the model sees of the caches of one group, which hold what it wrote there afterwards: of arrays that
        they share the `whole`, where a kernel looks at no more of it than a row sees."""
        if len(parts) == 1:
            caches = parts[0].caches
            slots = [Slots(held(cache), places[0], few_of(cache)) for cache in caches]
            yield slots
            for cache, slot in zip(caches, slots, strict=True):
                cache.keys, cache.values = slot.keys, slot.values
            return
        shared = self._shared.setdefault(places[0].size, SharedSlots())
        rows = shared.seat([part.caches for part in parts])
        counts = [part.token_ids.shape[0] for part in parts]
        ends = [part.caches[0].offset + count for part, count in zip(parts, counts, strict=True)]
        size = places[0].size
        length = size if whole else min(size_for(max(ends), _LENGTHS), size)
        layout = layout_of(rows, counts, shared.size, _written(parts), length)
        in_trees = any(part.placement for part in parts)
        with shared.lent(Seating(layout, places if in_trees else (), counts)) as layers:
            yield layers


def _places(part: RaggedPart) -> Places:
    """Where an answer's tokens stand in its KVCaches, which have room for them then."""
    for cache in part.caches:
        make_room(cache, part.token_ids.shape[0])
    first = part.caches[0]
    return places_of(held(first)[0].shape[2], mx.array(first.offset, dtype=mx.int32), part.placement)


def _written(parts: Sequence[RaggedPart]) -> mx.array:
    """`[total]` (int32): where the tokens of answers are written in their caches."""
    begins = [(part.caches[0].offset, part.token_ids.shape[0]) for part in parts]
    return mx.array(np.concatenate([np.arange(at, at + count, dtype=np.int32) for at, count in begins]))


def _positions(parts: Sequence[RaggedPart], places: Sequence[Places]) -> mx.array:
    """`[total]` (int32): where they stand in their texts."""
    if not any(part.placement for part in parts):
        return _written(parts)
    each = zip(places, parts, strict=True)
    return mx.concatenate([one.of(part.token_ids.shape[0]) for one, part in each])


def _split(scored: PassOutput, rows: Rows) -> list[PassOutput]:
    """What each answer has of a pass."""
    logits, anew = rows.split(scored.logits, 0), scored.built_anew
    features = [None] * len(logits) if scored.features is None else rows.split(scored.features, 0)
    return [PassOutput(one, heard, anew) for one, heard in zip(logits, features, strict=True)]


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
        found = RaggedPasses(model)
        adopt(found)
    return found


def adopt(passes: RaggedPasses) -> None:
    """Have these be the passes of their model."""
    vars(passes.model)[_NAME] = passes


def leave_alone(model: Any) -> None:
    """Have what a model's answers share be each one's own again: it would stay in memory for one that goes on alone."""
    found: RaggedPasses | None = vars(model).get(_NAME)
    if found is not None:
        found.leave_alone()
