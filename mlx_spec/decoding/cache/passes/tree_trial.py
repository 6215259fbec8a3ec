"""Whether a model scores a tree as it scores the tree's paths: tried once for each model, never assumed.

A model may look past the stand-ins of a tree's pass: it may add up positions itself, or build a mask of its own. Then
only chains are exact with it.
"""

import logging
import weakref
from typing import Any, Final

import mlx.core as mx
from mlx_lm.models.cache import RotatingKVCache

from mlx_spec.decoding.cache.agreement import rows_agree
from mlx_spec.decoding.cache.making import make_caches
from mlx_spec.decoding.cache.passes.forward import run
from mlx_spec.decoding.cache.passes.placement import TREE_CACHES, Placement
from mlx_spec.decoding.cache.trials import judged, trial

_PROMPT: Final = [1, 2, 3, 4, 5]
# Two children of the root, and a child of each: the root is the prompt's last token.
_NODES: Final = [2, 4, 3, 3]
_DEPTHS: Final = [0, 1, 1, 2, 2]
_SEEN: Final = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 1, 0, 1, 0], [1, 0, 1, 0, 1]]

_AGREE: Final[dict[tuple[int, int | None], bool]] = {}

logger = logging.getLogger(__name__)


def trees_agree(model: Any, kv_bits: int | None = None) -> bool:
    """Whether passes over trees give what passes over their paths do; with keys and values in `kv_bits`, which the
    model can attend to."""
    key = id(model), kv_bits
    if key not in _AGREE:
        with trial(model, "trees", kv_bits=kv_bits):
            _AGREE[key] = _try(model, kv_bits)
        weakref.finalize(model, _AGREE.pop, key, None)
    return _AGREE[key]


def _try(model: Any, kv_bits: int | None) -> bool:
    def empty() -> list[Any]:
        return make_caches(model, type(model).__name__, kv_bits)

    caches = empty()
    kinds = {type(cache) for cache in caches}
    if not kinds <= set(TREE_CACHES) or any(type(cache) is RotatingKVCache and cache.keep for cache in caches):
        return False
    # Made here: an array belongs to the thread that makes it, and this file may be imported by any.
    placement = Placement(mx.array(_DEPTHS), mx.array(_DEPTHS), mx.array(_SEEN) > 0)
    # Ordinary passes: what they raise is a fault of the model, which answers would meet too.
    run(model, mx.array(_PROMPT[:-1]), caches, None)
    paths = [
        run(model, mx.array([*_PROMPT, *path]), empty(), None).logits[-1]
        for path in ([_NODES[0], _NODES[2]], [_NODES[1], _NODES[3]])
    ]
    try:
        rows = run(model, mx.array([_PROMPT[-1], *_NODES]), caches, None, placement).logits
        mx.eval(rows)
    except Exception:
        # The model's own code, which is not ours, runs over stand-ins for its cache and its rotations. So anything may
        # come: ValueError where it rotates in a way of its own (mlx-lm's afm7) or scales queries by their position
        # (ministral3), AttributeError where it looks for more of the cache than there is.
        logger.info("%s takes no trees.", type(model).__name__, exc_info=True)
        return judged(model, False)
    # A wrong tree differs from its path by something like what two paths differ by.
    return judged(model, rows_agree([rows[-2:]], [mx.stack(paths)]))
