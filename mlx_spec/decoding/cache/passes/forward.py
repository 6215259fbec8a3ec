"""One forward pass of a model over new tokens, and what it gives."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from mlx_spec.decoding.cache.passes.attention import seam_of
from mlx_spec.decoding.cache.passes.placement import Placement, placed
from mlx_spec.decoding.cache.passes.stand_ins import StandIns
from mlx_spec.decoding.cache.passes.ways import Attends, way_of
from mlx_spec.decoding.cache.trials import OTHERS, go
from mlx_spec.models.splitting.order import in_order
from mlx_spec.models.taps import Taps


@dataclass(frozen=True, slots=True)
class PassOutput:
    """What a pass over n tokens gives: `logits` `[n, vocab]`, and the `features` `[n, layers * hidden]` of the layers
    that are listened to, side by side; None where none are. `built_anew`: its graph is kept, and had to be built for
    it, so that its like will take less time."""

    logits: mx.array
    features: mx.array | None = None
    built_anew: bool = False


def run(
    model: Any,
    token_ids: mx.array,
    caches: Sequence[Any],
    taps: Taps | None,
    placement: Placement | None = None,
    *,
    attends: Attends = "plainly",
) -> PassOutput:
    """One ordinary forward pass over `token_ids` `[n]`, lazily: a chain, or a part of a tree by its `placement`."""
    way = way_of(attends)
    if placement is not None:
        caches = placed(caches, placement)
    with ExitStack() as built:
        if way is not None:
            built.enter_context(seam_of(model).opened(way))
        built.enter_context(in_order(model))
        if placement is not None:
            built.enter_context(StandIns(model).rotating_by_token())
        states = built.enter_context(taps.listening()) if taps is not None else None
        logits = model(token_ids[None], cache=caches)[0]
        if states is None and OTHERS:
            go(model, logits)
    features = mx.concatenate([state[0] for state in states], axis=-1) if states is not None else None
    return PassOutput(logits, features)
