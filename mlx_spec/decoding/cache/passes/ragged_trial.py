"""Which way passes over the rows of many answers are made with a model: tried once for each, never assumed.

The ways in order of what they share: each answer attends for itself and all else is shared; whole mixers are each
answer's own; whole layers are; all but the head is; nothing is shared, a pass after another.
"""

import logging
import weakref
from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx
from mlx_lm.models.cache import KVCache, make_prompt_cache

from mlx_spec.decoding.cache.agreement import rows_agree
from mlx_spec.decoding.cache.passes.dividing import Depth
from mlx_spec.decoding.cache.passes.forward import run
from mlx_spec.decoding.cache.passes.ragged import RaggedPart, ragged_passes
from mlx_spec.decoding.cache.trials import judged, trial

_WAYS: Final[tuple[Depth, ...]] = ("attention", "mixer", "layer", "body")
_PROMPTS: Final = ([1, 2, 3, 4, 5], [5, 3], [2, 4, 1, 1, 3, 5, 2, 4, 1])
# What each reads in two passes: different numbers of rows, so that nothing of a model's own happens to be as many.
_READ: Final = (([2], [4, 3, 1], [5, 2]), ([1, 4, 3, 5], [3], [4]))

_FOUND: Final[dict[int, Depth | None]] = {}

logger = logging.getLogger(__name__)


def ragged_way(model: Any) -> Depth | None:
    """How deep a pass over the rows of many answers is divided by answer; None where it has to be a pass for each."""
    key = id(model)
    if key not in _FOUND:
        _FOUND[key] = _find(model)
        weakref.finalize(model, _FOUND.pop, key, None)
    return _FOUND[key]


def _find(model: Any) -> Depth | None:
    with trial(model, "ragged"):
        expected = _expected(model)
        way = next((way for way in _WAYS if _agrees(model, way, expected)), None)
        if way == "attention" and all(type(cache) is KVCache for cache in make_prompt_cache(model)):
            passes = ragged_passes(model)
            passes.shares = True
            passes.shares = _agrees(model, way, expected, in_slots=True)
    return way


def _expected(model: Any) -> list[mx.array]:
    """The logits of each answer's passes by itself."""
    # Ordinary passes: what they raise is a fault of the model, which answers would meet too.
    alone = [
        [run(model, mx.array(read), held, None).logits for read in reads]
        for held, reads in zip(_begun(model), zip(*_READ, strict=True), strict=True)
    ]
    expected = [rows for one in zip(*alone, strict=True) for rows in one]
    mx.eval(expected)
    return expected


def _begun(model: Any) -> list[list[Any]]:
    """The caches of each answer, behind its prompt."""
    every = [make_prompt_cache(model) for _ in _PROMPTS]
    for held, prompt in zip(every, _PROMPTS, strict=True):
        run(model, mx.array(prompt), held, None)
    return every


def _agrees(model: Any, way: Depth, expected: Sequence[mx.array], *, in_slots: bool = False) -> bool:
    every, found = _begun(model), []
    try:
        passes = ragged_passes(model)
        if way not in passes.depths:
            return False
        for reads in _READ:
            parts = [RaggedPart(mx.array(read), held) for read, held in zip(reads, every, strict=True)]
            found += [scored.logits for scored in passes.run(parts, way, in_slots=in_slots)]
        mx.eval(found)
    except Exception:
        # The model's own code, which is not ours, runs over stand-ins for its cache and its modules. So anything may
        # come: what it does with keys that are apart, with positions that are many, or with a mask that is none.
        logger.info("%s takes no rows of many answers divided by %s.", type(model).__name__, way, exc_info=True)
        return judged(model, False)
    return judged(model, rows_agree(found, expected))
