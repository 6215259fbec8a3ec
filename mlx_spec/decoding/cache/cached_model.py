"""A causal language model together with the keys, values and states of the tokens it was given."""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Required, TypedDict, Unpack

import mlx.core as mx
from mlx_lm.models.cache import KVCache, QuantizedKVCache, RotatingKVCache

from mlx_spec.decoding.cache.kinds.ring import KeptMask
from mlx_spec.decoding.cache.making import make_caches
from mlx_spec.decoding.cache.over_blocks import moved, pays
from mlx_spec.decoding.cache.passes.compiled import compiled_passes
from mlx_spec.decoding.cache.passes.forward import PassOutput, run
from mlx_spec.decoding.cache.passes.paged import BlockCache, num_block_layers, run_paged
from mlx_spec.decoding.cache.passes.placement import TREE_CACHES, Placement
from mlx_spec.decoding.cache.passes.slots import make_room, make_up
from mlx_spec.decoding.cache.passes.tree_trial import trees_agree
from mlx_spec.decoding.cache.passes.ways import Attends
from mlx_spec.decoding.cache.rollback import Rollback, leaves
from mlx_spec.decoding.cache.snapshot import Snapshot, restore, snapshot_of
from mlx_spec.decoding.cache.stretches import Span, Stretch, cut_up, put_together, split_leaves
from mlx_spec.machine.kernels.products.layers import adopted, strictly
from mlx_spec.models.taps import taps_at

# Of tokens that wait to be fed again: few enough that they hardly widen the pass they ride along with, many enough
# that a pass of their own is rare.
MAX_BEHIND: Final = 8
CHUNK_TOKENS: Final = 64


@dataclass(frozen=True, slots=True)
class BegunPass:
    """The tokens `[n]` that a pass is to read: `in_front` that wait since an earlier one, and those to score."""

    token_ids: mx.array
    placement: Placement | None
    in_front: int


class CacheOptions(TypedDict, total=False):
    """What a `CachedModel` is made for; see there."""

    speculative: Required[bool]
    listen_to: tuple[int, ...]
    kv_bits: int | None
    widest: int | None
    by_row: bool


class CachedModel:
    """Draft and target are both held this way.

    With `speculative` the cache must be one that can be rolled back exactly; UnsupportedModelError otherwise. Without,
    it never forgets, and keeps nothing for that.

    A recurrent state can only return to where a pass began. Then the tokens of that pass that should have stayed are
    *behind*: the next pass has them in front of its own, so that a round stays one forward pass.

    `listen_to` are layers whose states each pass leaves in `features`; see `Taps`. With `kv_bits` keys and values are
    kept in so many bits; UnsupportedModelError where the model cannot attend to such. No pass that scores has more than
    `widest` rows, as long as no more are asked for; None is any number. `by_row`: what attention gives a row in such a
    pass has the bits that it has alone (`passes/by_row.py`).
    """

    held_in: ClassVar = ("_caches", "_behind", "features", "_rollback")

    def __init__(
        self,
        model: Any,
        name: str,
        *,
        speculative: bool,
        listen_to: tuple[int, ...] = (),
        kv_bits: int | None = None,
        widest: int | None = None,
        by_row: bool = False,
    ) -> None:
        self.widest, self.by_row = widest, by_row
        self._model, self._name, self._kv_bits = model, name, kv_bits
        self._caches = make_caches(model, name, kv_bits)
        self._stretches, self._states = split_leaves(self._caches)
        self._rollback = Rollback(self._caches, name) if speculative else None
        self._taps = taps_at(model, listen_to) if listen_to else None
        strict = widest is not None and adopted(model)
        self._compiled = compiled_passes(model, self._caches, listen_to, strict=strict, by_row=by_row)
        self._behind: mx.array | None = None
        self.is_over_blocks = False
        """Whether it has gone over to blocks."""
        self.features: mx.array | None = None
        """States `[n, layers * hidden]` (lazy) of the newest pass, where somebody listens."""
        self.built_anew = False
        """Whether the newest pass took longer than its like will, as its graph had to be built first."""
        for cache in leaves(self._caches):
            if type(cache) is RotatingKVCache and cache.keep:
                cache.make_mask = KeptMask(cache)

    def prefill(
        self, token_ids: Sequence[int], meanwhile: Callable[[], None] | None = None, *, scored: bool = False
    ) -> mx.array | None:
        """Add prompt tokens to the cache and wait until that is done. `meanwhile` is what the host may do before it
        waits. Their logits `[n, vocab]` (lazy) where they are to be `scored`; else these are never computed."""
        logits = self.score(mx.array(list(token_ids), dtype=mx.int32), kept=len(token_ids), again=False)
        wanted = logits if scored else None
        del logits  # else all that they would be computed from stays in memory until the rest is
        read = self.read
        if meanwhile is not None:
            mx.async_eval(read)  # type: ignore[no-untyped-call]
            meanwhile()
        mx.eval(read)
        return wanted

    @property
    def read(self) -> list[Any]:
        """What the newest pass leaves (lazy), but for logits: who has that has read its tokens."""
        states: list[Any] = [cache.state for cache in leaves(self._caches)]
        return states if self.features is None else [states, self.features]

    def prepare(self, count: int, length: int) -> None:
        """Build what a pass over `count` tokens behind a text of `length` tokens will need, where that can be done
        before it."""
        if self._compiled is not None:
            with strictly(self._model, self.strict_rows(count)):
                self._compiled.prepare(count, self._caches, length)

    def pays_over_blocks(self, prompt_tokens: int) -> bool:
        """Whether passes behind a prompt of so many tokens were found to take less time over blocks."""
        return self._kv_bits is None and pays(self._model, prompt_tokens)

    def go_over_blocks(self, room: int) -> None:
        """Have what was read in blocks of a pool of its own from now on, with memory for `room` tokens more, up to a
        limit; nothing of it can be forgotten any more. Nothing happens where no layer can be over blocks.

        Then a pass is to be built when what the one before gave was read: see `LayerBlocks`.
        """
        assert self._behind is None, "tokens wait to be fed again"
        if self.is_over_blocks or not num_block_layers(self._caches):
            return
        caches = moved(self._caches, room)
        now = {id(old): new for old, new in zip(leaves(self._caches), leaves(caches), strict=True)}
        self._stretches = [now[id(cache)] for cache in self._stretches]
        self._states = [now[id(cache)] for cache in self._states]
        self._caches, self._compiled, self.is_over_blocks = caches, None, True
        if self._rollback is not None:
            self._rollback = Rollback(caches, self._name)

    def catch_up(self, token_ids: list[int]) -> list[int]:
        """Read a long text that was put off, in chunks; gives back its end, which the next pass takes along."""
        while len(token_ids) > CHUNK_TOKENS:
            self.prefill(token_ids[:CHUNK_TOKENS])
            token_ids = token_ids[CHUNK_TOKENS:]
        return token_ids

    def score(
        self, token_ids: mx.array, *, kept: int = 0, placement: Placement | None = None, again: bool = True
    ) -> mx.array:
        """Logits `[n, vocab]` (lazy) after each of `token_ids` `[n]`, in one forward pass; adds them to the cache.

        They are a chain, or part of a tree by their `placement`, where `takes_trees` says that there can be one.

        To promise that the first `kept` of them will not be forgotten spares the cache what it would keep for that.
        Unless passes over so many tokens come `again`, the graph of this one is not worth keeping.
        """
        part = self.begin(token_ids, kept, placement)
        return self.end(part, self._forward(part.token_ids, placement, again=again))

    def begin(self, token_ids: mx.array, kept: int = 0, placement: Placement | None = None) -> BegunPass:
        """What a pass that scores `token_ids` has to read, and a promise that it is made: `end` follows. See `score`,
        which is both; several models' passes can be made as one between them (`together`)."""
        behind, self._behind = self._behind, None
        if behind is not None and not self._takes_along(behind.shape[0], token_ids.shape[0]):
            step = self.widest or behind.shape[0]
            for part in mx.split(behind, list(range(step, behind.shape[0], step))):
                self._forward(part)
            behind = None
        in_front = 0 if behind is None else behind.shape[0]
        if behind is not None:
            token_ids = mx.concatenate([behind, token_ids])
        for cache in leaves(self._caches):
            if type(cache) in (KVCache, QuantizedKVCache) and cache.keys is not None:
                make_room(cache, token_ids.shape[0])  # it would grow by less, and so more often
        if self._rollback is not None:
            self._rollback.begin(token_ids, in_front + kept)
        return BegunPass(token_ids, placement, in_front)

    def end(self, begun: BegunPass, scored: PassOutput) -> mx.array:
        """Logits of the tokens that were to be scored, of a pass over all that it had to read."""
        in_front = begun.in_front
        self.built_anew = scored.built_anew
        self.features = scored.features if scored.features is None else scored.features[in_front:]
        return scored.logits[in_front:] if in_front else scored.logits

    def forget(self, count: int) -> None:
        """Take the newest `count` tokens back out of the cache, all scored since the last call; keep the others.

        Raises ValueError when fewer can be forgotten.
        """
        if self._rollback is not None:
            self._behind = self._rollback.forget(count)
        elif count:
            raise ValueError(f"cannot forget {count} tokens: this cache was made for plain decoding")

    def choose(self, indices: Sequence[int]) -> None:
        """Of the tokens scored since the last call that were not promised to stay, keep those at `indices` (ascending),
        in that order, and take the others back out: the accepted path of a tree."""
        assert self._rollback is not None, "a cache made for plain decoding holds no tree"
        self._behind = self._rollback.choose(indices)

    def is_compiled(self, count: int) -> bool | None:
        """Whether a pass over a chain of `count` tokens has the bits of a compiled graph; None where only making one
        will tell."""
        return self._compiled is not None and self._compiled.serves(count, self._caches)

    @property
    def model(self) -> Any:
        """Whose passes these are."""
        return self._model

    @property
    def caches(self) -> list[Any]:
        """mlx-lm's, one for each layer."""
        caches: list[Any] = self._caches
        return caches

    @property
    def listens_to(self) -> tuple[int, ...]:
        """The layers whose states each pass leaves in `features`."""
        return self._taps.layers if self._taps else ()

    @property
    def begins_anywhere(self) -> bool:
        """Whether a text can begin with any stretch that it holds, and not only where a `point` was taken."""
        return not self._states

    def point(self, length: int) -> Snapshot:
        """What it holds of a text of `length` tokens, which is all that was scored, where stretches do not tell."""
        assert self._behind is None, "tokens wait to be fed again"
        return snapshot_of([cache.ring() if type(cache) is BlockCache else cache for cache in self._states], length)

    def cut_up(self, spans: Sequence[Span], *, goes_on: bool = False) -> list[Stretch]:
        """What it holds of each of these stretches of its text; unless that `goes_on`, it is of no more use then."""
        return cut_up(self._stretches, spans, goes_on=goes_on)

    def begin_with(self, parts: Sequence[Stretch], point: Snapshot | None, *, reads_on: bool = False) -> None:
        """Hold the text that `parts` are stretches of, one behind the other; unless it `begins_anywhere`, `point` was
        taken at its end. Lazily. Whether it `reads_on` behind that, before anything is scored."""
        if parts:
            put_together(self._stretches, parts, reads_on=reads_on)
        if self._states:
            assert point is not None, "of what it holds there are no stretches"
            restore(point, self._states)

    @property
    def forgets_freely(self) -> bool:
        """Whether to score tokens and forget them costs no more than to score them."""
        return self._rollback is not None and self._rollback.is_free

    def pretend(self, context: int, *, compiled: bool) -> bool:
        """Hold `context` tokens that were never read, the same ones each time, and make passes in one of the two ways:
        for timing and comparing them. False where there is no choice of ways."""
        if self._compiled is None or self._compiled.falls_back():
            return False
        self.prefill([0])
        self._make_up(context, compiled=compiled)
        return True

    def _make_up(self, context: int, *, compiled: bool) -> None:
        for number, cache in enumerate(self._caches):
            make_up(cache, context, number)
        mx.eval([cache.state for cache in self._caches])
        if not compiled:
            self._compiled = None

    def takes_trees(self, *, in_passes: bool = False) -> bool:
        """Whether one pass may go over a tree; with `in_passes`, whether a tree may grow by several passes.

        Sliding windows lose what they drop from one pass to the next, recurrent states have one past only.
        """
        kinds = {type(cache) for cache in self._caches} - {BlockCache}
        if in_passes and RotatingKVCache in kinds:
            return False
        return self._rollback is not None and kinds <= set(TREE_CACHES) and trees_agree(self._model, self._kv_bits)

    def strict_rows(self, count: int) -> int | None:
        """The rows of a pass over `count` tokens, where they must not see each other; None where they may."""
        return count if self.widest is not None else None

    def attends(self, *, again: bool) -> Attends:
        """In which way an ordinary pass attends, be it of rounds, which come `again`, or over a prompt."""
        if not again:
            return "of_prompts"
        return "by_row" if self.by_row else "plainly"

    def rows_of(self, count: int) -> int:
        """How many rows a pass over `count` tokens has, with those that go along."""
        behind = 0 if self._behind is None else self._behind.shape[0]
        return count + (behind if self._takes_along(behind, count) else 0)

    def _takes_along(self, behind: int, count: int) -> bool:
        """Whether tokens that wait to be fed again go with a pass over `count` others."""
        return behind <= MAX_BEHIND and (self.widest is None or behind + count <= self.widest)

    def _forward(self, token_ids: mx.array, placement: Placement | None = None, *, again: bool = True) -> PassOutput:
        with strictly(self._model, self.strict_rows(token_ids.shape[0])):
            if self._compiled is not None and again:
                replayed = self._compiled.score(token_ids, self._caches, placement)
                if replayed is not None:
                    return replayed
            return self._ordinary(token_ids, placement, attends=self.attends(again=again))

    def _ordinary(self, token_ids: mx.array, placement: Placement | None, *, attends: Attends) -> PassOutput:
        if self.is_over_blocks:
            return run_paged(self._model, token_ids, self._caches, self._taps, placement)
        return run(self._model, token_ids, self._caches, self._taps, placement, attends=attends)


Making = Callable[..., CachedModel]
"""Called as `CachedModel` is."""

_KINDS: Final[dict[int, Making]] = {}
"""By the id of a model: what makes its `CachedModel`s, where these are of a kind of their own."""


def made_by(model: Any, making: Making) -> None:
    """Have the `CachedModel`s of a model be of a kind of their own, for as long as it lives."""
    if id(model) not in _KINDS:
        weakref.finalize(model, _KINDS.pop, id(model), None)
    _KINDS[id(model)] = making


def cached_model(model: Any, name: str, **how: Unpack[CacheOptions]) -> CachedModel:
    """A `CachedModel` that has read nothing, of the kind that this model's are."""
    return _KINDS.get(id(model), CachedModel)(model, name, **how)
