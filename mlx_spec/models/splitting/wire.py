"""What a pass of a split target sends from machine to machine, told before any is made."""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.models.splitting.links import Collective
from mlx_spec.models.splitting.share import share_of
from mlx_spec.models.taps import Taps


@dataclass(frozen=True, slots=True)
class WirePass:
    """`collectives` are those that this rank makes in a pass, one behind the other, whatever the number of rows;
    `bytes_per_row` is what it sends and receives in them for each row. `hops` are how many messages a pass waits for
    one behind the other, over all ranks."""

    collectives: int
    bytes_per_row: int
    hops: int
    made: tuple[Collective, ...] = ()


NO_WIRE = WirePass(0, 0, 0)
"""A whole model's."""


def wire_of(model: Any, listen_to: tuple[int, ...] = ()) -> WirePass:
    """What a pass over one row of a share of a model, as `load_shard` gives it, makes and sends. It is built, and never
    computed, so that it can be asked at any time and on any rank. `listen_to`: layers whose states go along."""
    share = share_of(model)
    if share is None:
        return NO_WIRE
    ranks, links = share.links.size(), share.links
    with links.told() as made:
        token_ids, caches = mx.zeros((1, 1), dtype=mx.int32), make_prompt_cache(model)
        if listen_to:
            with Taps(model, listen_to).listening():
                model(token_ids, cache=caches)
        else:
            model(token_ids, cache=caches)
    # A ring hands what is gathered from rank to rank; a sum is handed around twice.
    rounds = {"gather": ranks - 1, "sum": 2 * (ranks - 1), "send": 1, "receive": 1}
    sent = sum(_sent(one, ranks) for one in made)
    hops = sum(hops_of(one, ranks) if share.relay is not None else rounds[one.kind] for one in made)
    return WirePass(len(made), sent, hops, tuple(made))


def hops_of(one: Collective, ranks: int) -> int:
    """How many messages of a pipeline's pass one that rank 0 makes stands for: what comes to it has gone from rank to
    rank; what it sends goes to the rank with the first layers."""
    return ranks - 1 if one.kind == "receive" else 1


def _sent(one: Collective, ranks: int) -> int:
    """Bytes that a rank sends, or receives in a pipeline, for one collective over a ring."""
    if one.kind == "gather":
        return (ranks - 1) * one.nbytes
    if one.kind == "sum":
        return 2 * (ranks - 1) * one.nbytes // ranks
    return one.nbytes
