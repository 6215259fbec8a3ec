"""How much of its memory rank 0 may give to keys and values, so that no other rank runs out of its own first."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mlx_spec.config import Keeping
from mlx_spec.hosts.group import RankState, Share
from mlx_spec.hosts.neighbours import neighbours
from mlx_spec.models.memory import memory_info

_SPARE: Final = 10
"""So large a part of what a machine has left stays free for others there."""


def bounded(keeping: Keeping, ranks: Sequence[RankState]) -> Keeping:
    """The same with a pool of no more bytes than all `ranks`, which have loaded, have room for. They hold keys and
    values of the same tokens, each of its own layers or heads; ranks of one machine have what is left there between
    them. Of a rank that has told nothing nothing is known."""
    pool_bytes = keeping.pool_bytes or memory_info().available_bytes
    own, on = _part(ranks[0].share), neighbours([one.host for one in ranks])
    for one in ranks[1:]:
        if one.free_bytes is not None:
            there = [ranks[rank] for rank in on[one.rank]]
            left = max(0, one.free_bytes - sum(other.held_bytes or 0 for other in there))
            parts = sum(_part(other.share) for other in there)
            pool_bytes = min(pool_bytes, int((left - left // _SPARE) * own / parts))
    return replace(keeping, pool_bytes=max(1, pool_bytes))


def _part(share: Share | None) -> float:
    """Of the keys and values of a token, in any unit."""
    if share is None or share.layers is None:
        return 1.0
    first, end = share.layers
    return float(end - first)
