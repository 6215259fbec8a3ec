"""Setting a pass going as soon as it is built, in the same way by all: so all make their parts of it in one order."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from mlx_spec.decoding.cache.passes.forward import PassOutput
from mlx_spec.decoding.cache.rollback import leaves


def set_going(scored: Sequence[PassOutput], caches: Sequence[Any] = (), *, reads_only: bool = False) -> None:
    """Compute what a pass gives; where it `reads_only`, what it leaves in `caches`."""
    heard = [one.features for one in scored if one.features is not None]
    wanted = [cache.state for cache in leaves(caches)] if reads_only else [one.logits for one in scored]
    mx.async_eval(wanted, heard)  # type: ignore[no-untyped-call]
