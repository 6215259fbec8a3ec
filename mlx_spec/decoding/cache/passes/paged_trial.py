"""Whether a model over blocks says what it says over its own caches: tried once for each model, never assumed.

A model may do more with its keys than to attend to them, attend in a way of its own, or make its masks itself. Then its
answers keep caches of their own.
"""

import logging
import weakref
from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.decoding.cache.agreement import rows_agree
from mlx_spec.decoding.cache.paged.arrays import LayerBlocks
from mlx_spec.decoding.cache.paged.table import BlockTable
from mlx_spec.decoding.cache.passes.forward import run
from mlx_spec.decoding.cache.passes.paged import block_caches, num_block_layers, run_paged
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.passes.tree_trial import trees_agree

# The text ends in a third block, and is longer than a small window; so long windows are real models' own.
_BLOCK_TOKENS: Final = 8
_TEXT: Final = ([1, 2, 3, 4, 5, 3, 1, 4, 2, 5, 1], [2, 5, 4], [3], [1, 4])
_NODES: Final = [2, 4, 3, 5]
_DEPTHS: Final = [0, 0, 1, 1]
_SEEN: Final = [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1]]

_AGREE: Final[dict[int, bool]] = {}

logger = logging.getLogger(__name__)


class NewBlocks:
    """Blocks without end, in no order, none of them shared: for one text that is tried or timed."""

    def __init__(self, order: Sequence[int]) -> None:
        self._free = list(order)

    def allocate(self) -> int:
        """The next."""
        return self._free.pop(0)

    def share(self, block: int) -> None:
        """Never asked for: a text that is tried shares nothing."""
        raise AssertionError(f"block {block} is shared")

    def release(self, block: int) -> None:
        """To be taken again."""
        self._free.insert(0, block)

    def writable(self, block: int) -> int:
        """Itself."""
        return block


def blocks_agree(model: Any) -> bool:
    """Whether passes over blocks give what passes over the model's own caches do."""
    key = id(model)
    if key not in _AGREE:
        _AGREE[key] = _try(model)
        weakref.finalize(model, _AGREE.pop, key, None)
    return _AGREE[key]


def _try(model: Any) -> bool:
    own = make_prompt_cache(model)
    if not num_block_layers(own):
        return False
    caches = _over_blocks(make_prompt_cache(model))
    # Made here: an array belongs to the thread that makes it, and this file may be imported by any.
    placement = Placement(mx.array(_DEPTHS), mx.array(_DEPTHS), mx.array(_SEEN) > 0)
    # Ordinary passes: what they raise is a fault of the model, which answers would meet too.
    trees = trees_agree(model)
    expected = [run(model, mx.array(part), own, None).logits for part in _TEXT]
    mx.eval(expected)
    if trees:
        expected.append(run(model, mx.array(_NODES), own, None, placement).logits)
    try:
        found = []
        for part in _TEXT:
            found.append(run_paged(model, mx.array(part), caches).logits)
            mx.eval(found)
        if trees:
            found.append(run_paged(model, mx.array(_NODES), caches, placement=placement).logits)
        mx.eval(found)
    except Exception:
        # The model's own code, which is not ours, runs over stand-ins for its cache, its keys and its masks. So
        # anything may come: TypeError where it computes with keys (gemma2), AttributeError where it looks for more of
        # them than there is (deepseek_v3).
        logger.info("%s keeps caches of its own.", type(model).__name__, exc_info=True)
        return False
    return rows_agree(found, expected)


def _over_blocks(caches: Sequence[Any]) -> list[Any]:
    layers = [LayerBlocks(8, _BLOCK_TOKENS) for _ in range(num_block_layers(caches))]
    return block_caches(caches, BlockTable(NewBlocks([5, 1, 2, 7, 0]), layers, _BLOCK_TOKENS), layers)
