"""The order of a split model's collectives: that in which its passes are built, on every rank.

Ranks know each other's collectives by their order alone. Inside a pass each waits for the one before it; two passes
that are computed at once would be mixed in any way, and another on each rank. So before one is built, the one before it
is set going. Nothing here does anything with a whole model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx

from mlx_spec.models.splitting.share import share_of


@contextmanager
def in_order(model: Any) -> Iterator[None]:
    """Build a pass inside. Whoever drops it does not take it back: it is computed before the next one."""
    share = share_of(model)
    if share is None or share.is_traced:
        yield
        return
    links = share.links
    if links.newest is not None:
        # What receives depends on nothing that is at hand, so that nothing in the graph could hold it back.
        mx.async_eval(links.newest)  # type: ignore[no-untyped-call]
    links.keeps = True
    try:
        yield
    finally:
        links.keeps = False


@contextmanager
def traced(model: Any) -> Iterator[None]:
    """Build a graph inside that is to be replayed: its passes get their order from outside."""
    share = share_of(model)
    if share is None:
        yield
        return
    kept, share.links.keeps, share.is_traced = share.links.keeps, False, True
    try:
        yield
    finally:
        share.links.keeps, share.is_traced = kept, False


def replayed(model: Any, token_ids: mx.array, result: mx.array) -> None:
    """A replayed pass over `token_ids` `[n]` gives `result`, which is computed behind all its collectives."""
    share = share_of(model)
    if share is None:
        return
    if share.relay is not None and share.relay.begin is not None:
        mx.async_eval(share.relay.begin(token_ids[None]))  # type: ignore[no-untyped-call]
    share.links.newest = result[:1, :1]


def settled(model: Any) -> None:
    """What was built of a model is under way, or will never be: nothing of it is to be set going any more."""
    share = share_of(model)
    if share is not None:
        share.links.newest = None


def agreed(model: Any, verdict: bool) -> bool:
    """Whether all ranks found so, where each tried something with what it has. A collective: every rank asks."""
    share = share_of(model)
    return verdict if share is None else share.links.agreed(verdict)
