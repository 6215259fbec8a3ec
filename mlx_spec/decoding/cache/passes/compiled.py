"""Forward passes whose graph Python builds once: compiled over a cache of fixed size with its offset as an array.

Building a pass of 24 layers takes Python milliseconds, as long as a small draft takes to compute it. `KVCache` and
`QuantizedKVCache` allocate their arrays in steps of 256 tokens; between two of them every pass over the same number of
tokens is the same graph, with other arrays in it, which `mx.compile` replays from C++.
"""

import logging
import weakref
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Final, cast

import mlx.core as mx
from mlx_lm.models.cache import KVCache, QuantizedKVCache

from mlx_spec.decoding.cache.passes.forward import PassOutput, run
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.passes.slots import Few, Slots, empty, few_of, held, hold, make_room, places_of, size_for
from mlx_spec.decoding.cache.passes.stand_ins import StandIns
from mlx_spec.decoding.cache.passes.ways import Attends, way_of
from mlx_spec.decoding.cache.trials import judged
from mlx_spec.models.splitting.order import in_order, replayed, traced
from mlx_spec.models.taps import taps_at

# A graph is traced once for each width and size of the cache: prompts come in chunks too large, and too odd, for that.
WIDEST: Final = 40
# Rounding may differ where the padded keys change the order of a sum; a model that this way computes something else
# differs by as much as its logits.
_TOLERANCE: Final = 2e-2

_TOLD: Final = "Passes of %s are built in the ordinary way: %s."

Pass = Callable[..., tuple[mx.array, ...]]

logger = logging.getLogger(__name__)


class CompiledPasses:
    """The compiled passes of one model, for all its caches that keep their numbers as `few` says, a cache each. `None`
    results mean: not this way."""

    def __init__(self, model: Any, layers: tuple[int, ...], few: tuple[Few | None, ...], by_row: bool = False) -> None:
        self._attends: Attends = "by_row" if by_row else "plainly"
        self._model, self._layers, self._few = weakref.ref(model), layers, few
        self.key = layers, few, by_row
        # Passes over a chain and over a tree; None where the model cannot be compiled so.
        self._passes: dict[bool, Pass | None] = {False: mx.compile(self._traced), True: mx.compile(self._traced_tree)}
        self._checked: set[bool] = set()
        self._traced_now = False

    def score(
        self, token_ids: mx.array, caches: Sequence[Any], placement: Placement | None = None
    ) -> PassOutput | None:
        """Score `token_ids` `[n]` (lazily), which are added to the caches; None, with the caches untouched, where this
        model or this pass has to be built in the ordinary way."""
        count, in_tree = token_ids.shape[0], placement is not None
        compiled = self._passes[in_tree]
        if compiled is None or count > WIDEST or caches[0].keys is None:
            return None
        if not in_tree and not self._pays(count, caches[0].offset):
            return None
        for cache in caches:
            make_room(cache, count)
        offset = mx.array(caches[0].offset, dtype=mx.int32)
        places = [placement.depths, placement.key_depths, placement.seen] if placement else []
        arrays = [array for cache in caches for array in held(cache)]
        self._traced_now = False
        with in_order(self._living_model()):
            results = self._built(in_tree, token_ids, offset, *places, *arrays)
        if results is None:
            return None
        replayed(self._living_model(), token_ids, results[0])
        given, written = results[: -len(arrays)], results[-len(arrays) :]
        scored = PassOutput(given[0], given[1] if self._layers else None, built_anew=self._traced_now)
        if in_tree not in self._checked and not self._agrees(scored.logits, token_ids, caches, placement):
            self._passes[in_tree] = None
            return None
        size = len(arrays) // len(caches)
        del arrays, results  # what nobody else holds is written in place
        for i, cache in enumerate(caches):
            hold(cache, written[i * size : (i + 1) * size])
            cache.offset += count
        return scored

    def prepare(self, count: int, caches: Sequence[Any], length: int) -> bool:
        """Build the graph of passes over `count` tokens behind a text of `length`, which the caches are being filled
        with; whether there will be such. Computes nothing, so it can be done while they are."""
        compiled = self._passes[False]
        if compiled is None or False not in self._checked or count > WIDEST or caches[0].keys is None:
            return False
        if not self._pays(count, length):
            return False
        way_of(self._attends)  # as in `_built`
        arrays = []
        for cache in caches:
            size = size_for(length - 1 + count, cache.step)  # the last token is not read yet
            arrays += [empty(array, size) for array in held(cache)]
        try:
            compiled(mx.zeros((count,), dtype=mx.int32), mx.array(length, dtype=mx.int32), *arrays)
        except Exception:  # as in `_built`; the first real pass tells whether it is for good
            logger.info(_TOLD, self._name, "a graph could not be built ahead", exc_info=True)
            return False
        return True

    def _built(self, in_tree: bool, *inputs: mx.array) -> tuple[mx.array, ...] | None:
        """The results of a pass, not yet computed; None, from now on too, where it has to be built in the ordinary
        way."""
        compiled = self._passes[in_tree]
        assert compiled is not None
        way_of(self._attends)  # what has to be tried for it is not to be tried while a pass is traced
        try:
            return compiled(*inputs)
        except Exception:
            # Tracing runs the model's own code, which is not ours, over stand-ins for its cache. So anything may come:
            # MLX's ValueError where it looks at a value, AttributeError where it looks for more of the cache than there
            # is (mlx-lm's afm7), TypeError or RuntimeError where it makes a shape of an array. The ordinary pass runs
            # the same code over the cache itself, and raises what is a fault of it.
            logger.warning(_TOLD, self._name, "their graph cannot be traced", exc_info=True)
            self._passes[in_tree] = None
            return None

    def serves(self, count: int, caches: Sequence[KVCache]) -> bool | None:
        """Whether a pass over a chain of `count` tokens behind what the caches hold has the bits of one that is made
        this way; None where only making one will tell. Where it is made in the ordinary way because that takes less
        time, both have the same."""
        if self._passes[False] is None or count > WIDEST or caches[0].keys is None:
            return False
        return True if False in self._checked else None

    def _pays(self, count: int, context: int) -> bool:
        choice = CHOICES.get(id(self._model()))
        return choice is None or choice(count, context)

    def falls_back(self, *, in_tree: bool = False) -> bool:
        """Whether passes of this model have to be built in the ordinary way."""
        return self._passes[in_tree] is None

    def _traced(self, token_ids: mx.array, offset: mx.array, *arrays: mx.array) -> tuple[mx.array, ...]:
        self._traced_now = True
        slots = self._slots(arrays, offset, None)
        with StandIns(self._living_model()).few_operations(rotations=True):
            return self._run(token_ids, slots)

    def _traced_tree(
        self,
        token_ids: mx.array,
        offset: mx.array,
        depths: mx.array,
        key_depths: mx.array,
        seen: mx.array,
        *arrays: mx.array,
    ) -> tuple[mx.array, ...]:
        self._traced_now = True
        slots = self._slots(arrays, offset, Placement(depths, key_depths, seen))
        stand_ins = StandIns(self._living_model())
        with stand_ins.few_operations(rotations=True), stand_ins.rotating_by_token():
            return self._run(token_ids, slots)

    def _slots(self, arrays: Sequence[mx.array], offset: mx.array, placement: Placement | None) -> list[Slots]:
        """What the model sees of each cache."""
        places, size = places_of(arrays[0].shape[2], offset, placement), len(arrays) // len(self._few)
        return [Slots(arrays[i * size : (i + 1) * size], places, few) for i, few in enumerate(self._few)]

    def _run(self, token_ids: mx.array, slots: Sequence[Slots]) -> tuple[mx.array, ...]:
        model = self._living_model()
        taps = taps_at(model, self._layers) if self._layers else None
        with traced(model):
            scored = run(model, token_ids, slots, taps, attends=self._attends)
        outputs = (scored.logits,) if scored.features is None else (scored.logits, scored.features)
        return (*outputs, *(array for slot in slots for array in held(slot)))

    @property
    def _name(self) -> str:
        return type(self._living_model()).__name__

    def _living_model(self) -> Any:
        model = self._model()
        assert model is not None, "the passes of a model do not outlive it"
        return model

    def _agrees(
        self, logits: mx.array, token_ids: mx.array, caches: Sequence[Any], placement: Placement | None
    ) -> bool:
        """Whether the first pass says what the ordinary one does, but for rounding."""
        copies = []
        for cache in caches:
            copies.append(copy(cache))
            hold(copies[-1], [mx.array(array) for array in held(cache)])
        expected = run(self._living_model(), token_ids, copies, None, placement).logits.astype(mx.float32)
        # What both exclude is alike, though infinity less infinity is not a number.
        alike = expected == logits.astype(mx.float32)
        expected = mx.where(alike, 0.0, expected)
        logits = mx.where(alike, 0.0, logits)
        error = mx.max(mx.abs(logits.astype(mx.float32) - expected)) / mx.maximum(mx.max(mx.abs(expected)), 1e-6)
        try:
            agrees = cast(float, error.item()) <= _TOLERANCE
        except RuntimeError:
            # Only now is anything computed. MLX has kernels made of what it fused, by g++ on a CPU and by Metal on a
            # GPU, and says RuntimeError where that fails, or where a GPU has no memory for the copies.
            logger.info(_TOLD, self._name, "they cannot be computed", exc_info=True)
            return judged(self._living_model(), False)
        if not judged(self._living_model(), agrees):
            logger.info(_TOLD, self._name, "they say something else")
            return False
        self._checked.add(placement is not None)
        return True


CHOICES: Final[dict[int, Callable[[int, int], bool]]] = {}
"""By the id of a model: whether compiled passes over so many rows, behind so many tokens, are the faster ones."""
_OF_MODELS: Final[dict[tuple[int, tuple[int, ...], tuple[Few | None, ...], bool, bool], CompiledPasses]] = {}


def compiled_passes(
    model: Any,
    caches: Sequence[Any],
    layers: tuple[int, ...] = (),
    *,
    strict: bool = False,
    by_row: bool = False,
) -> CompiledPasses | None:
    """The compiled passes of a model that listen to `layers`, made once for as long as it lives; None where its caches
    are not all KVCaches, or all QuantizedKVCaches. `strict` ones have graphs of their own, as their products are made
    with other kernels; `by_row`: see `run`."""
    if not caches or {type(cache) for cache in caches} not in ({KVCache}, {QuantizedKVCache}):
        return None
    few = tuple(map(few_of, caches))
    key = id(model), layers, few, strict, by_row
    if key not in _OF_MODELS:
        _OF_MODELS[key] = CompiledPasses(model, layers, few, by_row)
        weakref.finalize(model, _OF_MODELS.pop, key, None)
    return _OF_MODELS[key]
