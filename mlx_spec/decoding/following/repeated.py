"""A follower's caches, and its compiled passes: made in the way that the leader's are."""

from collections.abc import Mapping, Sequence
from typing import Any

import mlx.core as mx

from mlx_spec.decoding.cache.cached_model import BegunPass, CachedModel
from mlx_spec.decoding.cache.passes.compiled import CompiledPasses
from mlx_spec.decoding.cache.passes.forward import PassOutput
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.following.going import set_going
from mlx_spec.decoding.following.hearing import Hearer, OutOfStepError
from mlx_spec.machine.kernels.products.layers import strictly


class RepeatedPasses(CompiledPasses):
    """Compiled passes of a share, where the leader's are compiled."""

    def __init__(self, like: CompiledPasses, model: Any, hearer: Hearer) -> None:
        super().__init__(model, *like.key)
        self._hearer = hearer

    def repeated(
        self, token_ids: mx.array, caches: Sequence[Any], placement: Placement | None, *, checked: bool
    ) -> PassOutput | None:
        """As `score`, `checked` where the leader checks it; None where it then found that they say something else."""
        if checked:
            self._checked.discard(placement is not None)
        else:
            self._checked.add(placement is not None)
        scored = self.score(token_ids, caches, placement)
        if scored is None and not checked:
            raise OutOfStepError(
                "A pass that is compiled on the leader's machine cannot be compiled here: give all machines the same"
                " version of MLX."
            )
        return scored

    def _pays(self, count: int, context: int) -> bool:
        return True  # the leader has asked

    def _agrees(
        self, logits: mx.array, token_ids: mx.array, caches: Sequence[Any], placement: Placement | None
    ) -> bool:
        mx.async_eval(logits)  # type: ignore[no-untyped-call]
        super()._agrees(logits, token_ids, caches, placement)
        agrees: bool = self._hearer.expect("judged")["agrees"]
        if agrees:
            self._checked.add(placement is not None)
        return agrees


class RepeatedModel(CachedModel):
    """A follower's `CachedModel`, the leader's of this `number`."""

    def __init__(
        self,
        number: int,
        hearer: Hearer,
        compiled: dict[CompiledPasses, RepeatedPasses],
        model: Any,
        name: str,
        **how: Any,
    ) -> None:
        super().__init__(model, name, **how)
        self.number = number
        self.begun: BegunPass | None = None
        self._hearer = hearer
        if self._compiled is not None:
            if self._compiled not in compiled:
                compiled[self._compiled] = RepeatedPasses(self._compiled, model, hearer)
            self._compiled = compiled[self._compiled]

    def taken(self) -> BegunPass:
        """The pass that was begun."""
        if self.begun is None:
            raise OutOfStepError("A pass is told that was not begun: give all machines the same version.")
        begun, self.begun = self.begun, None
        return begun

    def made(self, token_ids: mx.array, placement: Placement | None, way: Mapping[str, Any]) -> PassOutput:
        """A pass, made in the leader's `way`."""
        scored = None
        with strictly(self._model, self.strict_rows(token_ids.shape[0])):
            if way["compiled"]:
                assert isinstance(self._compiled, RepeatedPasses)
                scored = self._compiled.repeated(token_ids, self._caches, placement, checked=way["checked"])
                if scored is None:
                    way = self._hearer.expect("forward", of=self.number)
            if scored is None:
                scored = self._ordinary(token_ids, placement, attends=way["attends"])
        set_going(self._model, [scored], self._caches, reads_only=way["reads_only"])
        return scored

    def make_up(self, context: int, *, compiled: bool) -> None:
        """Hold so many tokens that were never read."""
        self._make_up(context, compiled=compiled)

    def _forward(self, token_ids: mx.array, placement: Placement | None = None, *, again: bool = True) -> PassOutput:
        return self.made(token_ids, placement, self._hearer.expect("forward", of=self.number))
