"""The leader's side: the target's caches, which tell what is done to them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Unpack

import mlx.core as mx
import mlx.nn as nn

from mlx_spec.decoding.cache.cached_model import BegunPass, CachedModel, CacheOptions, made_by
from mlx_spec.decoding.cache.passes.forward import PassOutput
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.passes.ragged import adopt
from mlx_spec.decoding.cache.passes.ways import Attends
from mlx_spec.decoding.cache.snapshot import Snapshot
from mlx_spec.decoding.cache.stretches import Span, Stretch
from mlx_spec.decoding.cache.trials import share
from mlx_spec.decoding.following.going import adopt_products, set_going
from mlx_spec.decoding.following.numbered import NumberedSnapshot, NumberedStretch, number_of
from mlx_spec.decoding.following.placements import told
from mlx_spec.decoding.following.telling import Message, Number, Teller
from mlx_spec.decoding.following.told_passes import ToldPasses, ToldTogether
from mlx_spec.machine.kernels.products.layers import strictly
from mlx_spec.models.memory import rows_mix
from mlx_spec.models.splitting.share import share_of


def lead(
    target: nn.Module, tell: Callable[[Message], None], spoilt: Callable[[str], object] = lambda why: None
) -> Teller:
    """From now on `tell` hears, for as long as the target lives, what is done to its caches and what passes are made:
    `follow` does the same with another share of it. In a message there are JSON values only. What `tell` raises comes
    through, and what was to be told then is lost. What was done is told with the next pass, or when the `Teller` is
    asked to `send` it.

    `spoilt` hears, once and in a few words, that a pass which the others were told of has failed here alone. From then
    on they wait for this process in vain, and `tell` is not called again.
    """
    teller = Teller(tell, spoilt)
    share(target, teller)
    adopt_products(target)
    part = share_of(target)
    if part is not None and part.mixes_rows:
        rows_mix("sums over three machines or more")
    together = ToldTogether(target, teller)
    adopt(together)
    made_by(target, partial(ToldModel, together, teller))
    return teller


class ToldModel(CachedModel):
    """A `CachedModel` of the leader's, of whose share others have the rest. What it is asked to do it does as ever, and
    notes for them; what makes a pass tells them, and raises RankLostError where one of them is gone."""

    def __init__(
        self,
        together: ToldTogether,
        teller: Teller,
        model: Any,
        name: str,
        **how: Unpack[CacheOptions],
    ) -> None:
        super().__init__(model, name, **how)
        self._teller, self._together = teller, together
        self.number: Number = teller.number()
        self._reads_only = False
        if self._compiled is not None:
            self._compiled = together.compiled(self._compiled)
        teller.note("make", number=self.number.value, **{**how, "listen_to": list(how.get("listen_to", ()))})

    def prefill(
        self, token_ids: Sequence[int], meanwhile: Callable[[], None] | None = None, *, scored: bool = False
    ) -> mx.array | None:
        """As `CachedModel`'s, on all ranks; what is not to be scored nobody computes. Raises RankLostError."""
        self._reads_only = not scored
        try:
            return super().prefill(token_ids, meanwhile, scored=scored)
        finally:
            self._reads_only = False

    def begin(self, token_ids: mx.array, kept: int = 0, placement: Placement | None = None) -> BegunPass:
        """As `CachedModel`'s, once the tokens are known, as a draft is waited for. Noted: the pass tells it."""
        known: list[int] = token_ids.tolist()  # type: ignore[assignment]
        self._note("begin", ids=known, kept=kept, placement=told(placement))
        begun = super().begin(mx.array(known, dtype=token_ids.dtype), kept, placement)
        self._together.begun[id(self._caches)] = self
        return begun

    def _forward(self, token_ids: mx.array, placement: Placement | None = None, *, again: bool = True) -> PassOutput:
        self._together.begun.pop(id(self._caches), None)
        scored = None
        with strictly(self._model, self.strict_rows(token_ids.shape[0])):
            if self._compiled is not None and again:
                assert isinstance(self._compiled, ToldPasses)
                scored = self._compiled.told_score(self, token_ids, placement)
            if scored is None:
                attends = self.attends(again=again)
                self.tell_pass(compiled=False, attends=attends)
                with self._teller.made_by_all():
                    scored = self._ordinary(token_ids, placement, attends=attends)
        with self._teller.made_by_all():
            set_going(self._model, [scored], self._caches, reads_only=self._reads_only)
        return scored

    def tell_pass(self, *, compiled: bool, checked: bool = False, attends: Attends = "plainly") -> None:
        """Tell the others to make the pass that was begun; an ordinary one `attends` as it is told to."""
        self._note("forward", compiled=compiled, checked=checked, attends=attends, reads_only=self._reads_only)
        self._teller.send()

    def prepare(self, count: int, length: int) -> None:
        """Build graphs ahead, everywhere."""
        if self._compiled is None:
            return
        with strictly(self._model, self.strict_rows(count)):
            prepared = self._compiled.prepare(count, self._caches, length)
        if prepared:
            self._note("prepare", count=count, length=length)

    def pays_over_blocks(self, prompt_tokens: int) -> bool:
        """Never: whether they pay is not measured where others have a share."""
        return False

    def forget(self, count: int) -> None:
        """Forget the newest `count` tokens, here and, with the next pass, on the others. Raises ValueError when fewer
        can be forgotten."""
        super().forget(count)
        self._note("forget", count=count)

    def choose(self, indices: Sequence[int]) -> None:
        """Keep the accepted path of a tree, here and, with the next pass, on the others."""
        super().choose(indices)
        self._note("choose", indices=list(indices))

    def point(self, length: int) -> Snapshot:
        """A snapshot at `length` tokens, which the others take with the next pass, by its number."""
        held = super().point(length)
        number = self._teller.number()
        self._note("point", number=number.value, length=length)
        return NumberedSnapshot(held.length, held.caches, number)

    def cut_up(self, spans: Sequence[Span], *, goes_on: bool = False) -> list[Stretch]:
        """Stretches of what was read, which the others cut with the next pass, each by its number."""
        parts = [NumberedStretch(part, self._teller.number()) for part in super().cut_up(spans, goes_on=goes_on)]
        numbers = [part.number.value for part in parts]
        self._note("cut_up", numbers=numbers, spans=[list(span) for span in spans], goes_on=goes_on)
        return list(parts)

    def begin_with(self, parts: Sequence[Stretch], point: Snapshot | None, *, reads_on: bool = False) -> None:
        """Begin with stretches, and a snapshot, that all ranks have; the others do with the next pass."""
        super().begin_with(parts, point, reads_on=reads_on)
        self._note(
            "begin_with",
            parts=[number_of(part) for part in parts],
            point=number_of(point) if point is not None else None,
            reads_on=reads_on,
        )

    def swapped(self, *, out: bool) -> None:
        """What it holds was taken out of MLX's memory, or is back."""
        self._note("swap", out=out)

    def _make_up(self, context: int, *, compiled: bool) -> None:
        super()._make_up(context, compiled=compiled)
        self._note("make_up", context=context, compiled=compiled)

    def _note(self, op: str, **told: Any) -> None:
        self._teller.note(op, of=self.number.value, **told)
