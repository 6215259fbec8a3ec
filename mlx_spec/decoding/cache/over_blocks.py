"""An answer's caches in blocks of a pool that is its alone, in the place of caches of its own."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final

import mlx.core as mx

from mlx_spec.decoding.cache.blocks.pool import BLOCK_TOKENS, BlockPool
from mlx_spec.decoding.cache.paged.arrays import LayerBlocks
from mlx_spec.decoding.cache.paged.table import BlockTable
from mlx_spec.decoding.cache.passes.paged import BlockCache, block_caches, num_block_layers
from mlx_spec.decoding.cache.rollback import leaves

_MOST_ROOM: Final = 512
"""Tokens that there is memory for from the beginning, at most: few answers come to their limit."""
_WIDEST_PASS: Final = 64
"""Rows that may stand behind the text for a moment."""
_NO_LIMIT: Final = 1 << 30
"""Blocks. What an answer takes of the machine's memory, its lease of the prefixes' pool bounds."""

_PAYS: Final[dict[int, Callable[[int], bool]]] = {}
"""By the id of a model: whether blocks take less time behind a prompt of so many tokens."""


def adopt(model: Any, paying: Callable[[int], bool]) -> None:
    """Let answers of a model go over blocks behind prompts of lengths for which it is `paying`, as long as it lives."""
    if id(model) not in _PAYS:
        weakref.finalize(model, _PAYS.pop, id(model), None)
    _PAYS[id(model)] = paying


def pays(model: Any, prompt_tokens: int) -> bool:
    """Whether a model's answers go over blocks behind a prompt of so many tokens; where nobody has measured, none."""
    paying = _PAYS.get(id(model))
    return paying is not None and paying(prompt_tokens)


def moved(caches: Sequence[Any], room: int) -> list[Any]:
    """What `caches` hold, in blocks where a layer can be so, with memory for `room` tokens more, up to a limit. They
    hold nothing of that afterwards: layer after layer, so that at no time there are two copies of more than one."""
    length = max(leaf.offset for leaf in leaves(caches) if hasattr(leaf, "offset"))
    num_blocks = -(-(length + min(room, _MOST_ROOM) + _WIDEST_PASS) // BLOCK_TOKENS)
    # No block is shared, so none is ever copied: the table needs no layers for that.
    table = BlockTable(BlockPool(_NO_LIMIT), (), BLOCK_TOKENS)
    over_blocks = []
    for cache in caches:
        layers = [LayerBlocks(num_blocks, BLOCK_TOKENS) for _ in range(num_block_layers([cache]))]
        over_blocks += block_caches([cache], table, layers)
        mx.eval([layer.arrays for layer in layers])
        for old, new in zip(leaves([cache]), leaves(over_blocks[-1:]), strict=True):
            if type(new) is BlockCache:
                old.keys = old.values = None
    return over_blocks
