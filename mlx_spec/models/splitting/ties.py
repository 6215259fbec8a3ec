"""What a pass leaves in caches, made to wait for what else it has to do: else a rank that reads only what was stored,
as one does of a prompt, would leave the others waiting."""

from typing import Any

import mlx.core as mx


def tie(holder: Any, after: mx.array) -> bool:
    """Have what `holder` keeps, a cache or what stands in for one, be computed only with `after`. Whether there was
    anything."""
    for inner in ("parts", "caches"):  # of several answers, and of several kinds
        if isinstance(several := getattr(holder, inner, None), list | tuple):
            return sum(tie(one, after) for one in several) > 0  # every one of them
    held = vars(holder) if hasattr(holder, "__dict__") else {}
    if "_cache" in held:  # one of a tree's, around the cache itself
        return tie(held["_cache"], after)
    if isinstance(states := held.get("cache"), list):
        return _tie_last(states, after)
    if held.get("keys") is not None:
        holder.keys = _tied(held["keys"], after)
        return True
    if "layer" in held:  # keys in blocks
        return tie(held["layer"], after)
    return False


def _tie_last(states: list[Any], after: mx.array) -> bool:
    for index in reversed(range(len(states))):
        if isinstance(states[index], mx.array):
            states[index] = _tied(states[index], after)
            return True
    return False


def _tied(held: Any, after: mx.array) -> Any:
    if isinstance(held, mx.array):
        return mx.depends(held, after)
    return type(held)(mx.depends(list(held), after))
