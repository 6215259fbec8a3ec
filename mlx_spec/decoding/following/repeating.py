"""A follower's side: the target's caches of its share, to which the same is done as to the leader's."""

from collections.abc import Callable
from functools import partial
from typing import Any, Unpack

import mlx.core as mx
import mlx.nn as nn

from mlx_spec.decoding.cache.making import check_kv_bits
from mlx_spec.decoding.cache.passes.by_row import serves
from mlx_spec.decoding.cache.passes.compiled import CompiledPasses
from mlx_spec.decoding.cache.passes.ragged import RaggedHow, RaggedPart, ragged_passes
from mlx_spec.decoding.cache.passes.ragged_trial import ragged_way
from mlx_spec.decoding.cache.passes.tree_trial import trees_agree
from mlx_spec.decoding.cache.snapshot import Snapshot
from mlx_spec.decoding.cache.stretches import Stretch
from mlx_spec.decoding.cache.swapping import Swapped
from mlx_spec.decoding.cache.trials import share
from mlx_spec.decoding.following.going import adopt_products, depths_of, set_going
from mlx_spec.decoding.following.hearing import ClosedError, Hearer
from mlx_spec.decoding.following.placements import heard
from mlx_spec.decoding.following.repeated import RepeatedModel, RepeatedPasses
from mlx_spec.decoding.following.telling import Message, Operation
from mlx_spec.machine.kernels.products.layers import strictly


def follow(target: nn.Module, name: str, next_step: Callable[[], Message | None]) -> None:
    """Do with this share of a target, which errors call `name`, what its leader does, until `next_step` gives None.

    `next_step` waits for what the leader tells (`lead`), message by message. Raises OutOfStepError where that cannot be
    followed, and whatever a pass raises: then this process is of no more use to the others.
    """
    follower = Follower(target, name, next_step)
    while follower.go_on():
        pass


class Follower:
    """What a follower has: models, stretches and snapshots, by their numbers."""

    def __init__(self, target: nn.Module, name: str, next_step: Callable[[], Message | None]) -> None:
        self.target, self._name = target, name
        self._hearer = Hearer(next_step, self._drop)
        self._compiled: dict[CompiledPasses, RepeatedPasses] = {}
        self.models: dict[int, RepeatedModel] = {}
        self.stretches: dict[int, Stretch] = {}
        self.snapshots: dict[int, Snapshot] = {}
        self.swapped: dict[int, Swapped] = {}
        share(target, self._hearer)
        adopt_products(target)
        ragged_passes(target).depths = depths_of(target)

    def go_on(self) -> bool:
        """Do one operation; False when the leader has ended."""
        try:
            operation = self._hearer.next()
            if operation is None:
                return False
            self._do(operation)
        except ClosedError:
            return False
        return True

    def _do(self, operation: Operation) -> None:
        told = dict(operation)
        do = _OPERATIONS[told.pop("op")]
        if "of" in told and not isinstance(told["of"], list):
            do(self, self.models[told.pop("of")], **told)
        else:
            do(self, **told)

    def _make(self, number: int, listen_to: list[int], **how: Any) -> None:
        self.models[number] = RepeatedModel(
            number, self._hearer, self._compiled, self.target, self._name, listen_to=tuple(listen_to), **how
        )

    def _drop(self, number: int) -> None:
        for held in (self.models, self.stretches, self.snapshots, self.swapped):
            held.pop(number, None)

    def _begin(self, model: RepeatedModel, ids: list[int], kept: int, placement: list[Any] | None) -> None:
        model.begun = model.begin(mx.array(ids, dtype=mx.int32), kept, heard(placement))

    def _forward(self, model: RepeatedModel, **way: Any) -> None:
        begun = model.taken()
        model.end(begun, model.made(begun.token_ids, begun.placement, way))
        if way["reads_only"]:
            mx.clear_cache()  # a prompt's wide passes would leave much of it

    def _together(self, of: list[int], depth: Any, layers: list[int], **how: Unpack[RaggedHow]) -> None:
        models = [self.models[number] for number in of]
        begun = [model.taken() for model in models]
        parts = [
            RaggedPart(one.token_ids, model.caches, one.placement) for model, one in zip(models, begun, strict=True)
        ]
        passes = ragged_passes(self.target)
        rows = sum(one.token_ids.shape[0] for one in begun)
        with strictly(self.target, models[0].strict_rows(rows)):
            scored = passes.run(parts, depth, tuple(layers), **how)
        set_going(self.target, scored)
        for model, one, output in zip(models, begun, scored, strict=True):
            model.end(one, output)

    def _leave_alone(self) -> None:
        ragged_passes(self.target).leave_alone()

    def _prepare(self, model: RepeatedModel, count: int, length: int) -> None:
        model.prepare(count, length)

    def _forget(self, model: RepeatedModel, count: int) -> None:
        model.forget(count)

    def _choose(self, model: RepeatedModel, indices: list[int]) -> None:
        model.choose(indices)

    def _point(self, model: RepeatedModel, number: int, length: int) -> None:
        self.snapshots[number] = model.point(length)

    def _cut_up(self, model: RepeatedModel, numbers: list[int], spans: list[list[int]], *, goes_on: bool) -> None:
        parts = model.cut_up([(begin, end) for begin, end in spans], goes_on=goes_on)
        self.stretches.update(zip(numbers, parts, strict=True))

    def _begin_with(self, model: RepeatedModel, parts: list[int], point: int | None, *, reads_on: bool) -> None:
        held = [self.stretches[number] for number in parts]
        model.begin_with(held, None if point is None else self.snapshots[point], reads_on=reads_on)

    def _swap(self, model: RepeatedModel, *, out: bool) -> None:
        if out:
            self.swapped[model.number] = Swapped([model])
        else:
            self.swapped.pop(model.number).back()

    def _make_up(self, model: RepeatedModel, context: int, *, compiled: bool) -> None:
        model.make_up(context, compiled=compiled)

    def _trial(self, name: str, **how: Any) -> None:
        self._hearer.try_out(partial(_TRIALS[name], self.target, self._name, **how))


_OPERATIONS: dict[str, Callable[..., None]] = {
    "make": Follower._make,
    "begin": Follower._begin,
    "forward": Follower._forward,
    "together": Follower._together,
    "leave_alone": Follower._leave_alone,
    "prepare": Follower._prepare,
    "forget": Follower._forget,
    "choose": Follower._choose,
    "point": Follower._point,
    "cut_up": Follower._cut_up,
    "begin_with": Follower._begin_with,
    "swap": Follower._swap,
    "make_up": Follower._make_up,
    "trial": Follower._trial,
}
_TRIALS: dict[str, Callable[..., Any]] = {
    "ragged": lambda model, name: ragged_way(model),
    "by_row": lambda model, name: serves(model),
    "trees": lambda model, name, kv_bits: trees_agree(model, kv_bits),
    "kv_bits": lambda model, name: check_kv_bits(model, name, 8),
}
