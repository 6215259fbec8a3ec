"""Where the tokens of a pass over a tree stand, as host values and back."""

from typing import Any, cast

import mlx.core as mx

from mlx_spec.decoding.cache.passes.placement import Placement


def told(placement: Placement | None) -> list[Any] | None:
    """For a message; None for a chain. Who is seen is a number a token, of which each bit is one."""
    if placement is None:
        return None
    rows = cast(list[list[bool]], placement.seen.tolist())
    seen = [sum(1 << at for at, visible in enumerate(row) if visible) for row in rows]
    return [placement.depths.tolist(), placement.key_depths.tolist(), seen]


def heard(message: list[Any] | None) -> Placement | None:
    """From a message."""
    if message is None:
        return None
    depths, key_depths, seen = message
    rows = [[bool(row >> at & 1) for at in range(len(key_depths))] for row in seen]
    return Placement(mx.array(depths, dtype=mx.int32), mx.array(key_depths, dtype=mx.int32), mx.array(rows))
