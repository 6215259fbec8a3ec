"""The leader's passes, compiled and over the rows of many answers, which the others make too."""

from collections.abc import Sequence
from typing import Any, Protocol
from weakref import WeakValueDictionary

import mlx.core as mx

from mlx_spec.decoding.cache.passes.compiled import CompiledPasses
from mlx_spec.decoding.cache.passes.dividing import Depth
from mlx_spec.decoding.cache.passes.forward import PassOutput
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.passes.ragged import RaggedHow, RaggedPart, RaggedPasses
from mlx_spec.decoding.cache.passes.ways import Attends
from mlx_spec.decoding.following.going import depths_of, set_going
from mlx_spec.decoding.following.telling import Number, Teller


class Asking(Protocol):
    """Whose pass it is: see `ToldModel`."""

    number: Number

    @property
    def caches(self) -> list[Any]: ...

    def tell_pass(self, *, compiled: bool, checked: bool = False) -> None: ...


class ToldPasses(CompiledPasses):
    """Compiled passes, told once it is known that they are made this way."""

    def __init__(self, like: CompiledPasses, model: Any, teller: Teller) -> None:
        super().__init__(model, *like.key)
        self._teller = teller
        self._asking: Asking | None = None

    def told_score(self, asking: Asking, token_ids: mx.array, placement: Placement | None) -> PassOutput | None:
        """As `score`, of this answer's."""
        self._asking = asking
        try:
            scored = self.score(token_ids, asking.caches, placement)
        finally:
            told, self._asking = self._asking is None, None
        if scored is not None and not told:
            asking.tell_pass(compiled=True)
        return scored

    def _agrees(
        self, logits: mx.array, token_ids: mx.array, caches: Sequence[Any], placement: Placement | None
    ) -> bool:
        assert self._asking is not None, "a pass is told before it is checked"
        self._asking.tell_pass(compiled=True, checked=True)
        self._asking = None
        with self._teller.made_by_all():
            mx.async_eval(logits)  # type: ignore[no-untyped-call] # before the pass that it is compared with
            agrees = super()._agrees(logits, token_ids, caches, placement)
        self._teller.note("judged", agrees=agrees)
        return agrees


class ToldTogether(RaggedPasses):
    """Passes over the rows of many answers, those of trials left out, which are told as such."""

    def __init__(self, model: Any, teller: Teller) -> None:
        super().__init__(model)
        self.depths = depths_of(model)
        self._teller = teller
        self._compiled: dict[CompiledPasses, ToldPasses] = {}
        self.begun: WeakValueDictionary[int, Asking] = WeakValueDictionary()
        """By the id of their lists of caches: whose tokens a pass is to read."""

    def compiled(self, passes: CompiledPasses) -> ToldPasses:
        """The same compiled passes, told."""
        if passes not in self._compiled:
            self._compiled[passes] = ToldPasses(passes, self.model, self._teller)
        return self._compiled[passes]

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
        """A pass over the rows of all `parts`, on all ranks where they are answers and no trial's. Raises RankLostError
        where one of them is gone."""
        how = RaggedHow(in_slots=in_slots, shares=shares, attends=attends)
        asking = [self.begun.pop(id(part.caches), None) for part in parts]
        numbers = [one.number.value for one in asking if one is not None]
        if not numbers:
            return super().run(parts, depth, layers, **how)
        assert len(numbers) == len(parts), "who shares a pass has begun it"
        self._teller.note("together", of=numbers, depth=depth, layers=list(layers), **how)
        self._teller.send()
        with self._teller.made_by_all():
            scored = super().run(parts, depth, layers, **how)
            set_going(self.model, scored)
        return scored

    def leave_alone(self) -> None:
        """Have each answer's keys and values be its own again, here and, with the next pass, on the others."""
        if self._shared:
            self._teller.note("leave_alone")
        super().leave_alone()
