"""The seam at a model's attention: keys that are no arrays attend in a way of their own, and no model's code is copied.
The gates of its feed-forward layers can go a way of their own too.

mlx-lm's models hand new keys and values to their cache, and what it gives them, untouched, to the function
`scaled_dot_product_attention`, which each model file imports by that name. A cache may give `Fetched` keys instead of
arrays. While a pass is built inside `AttentionSeam.opened`, that name stands for a function which has them attend.

A model that does more with its keys than to hand them on stumbles over them: so every way of making passes that stands
on this is tried with a model before it is used.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType
from typing import Any, Final, Protocol, cast

import mlx.core as mx
from mlx_lm.models import activations, base

_NAME: Final = "scaled_dot_product_attention"
_GATE: Final = "swiglu"


class Fetched(Protocol):
    """Keys as a cache gives them that knows how to attend to them better than by one array."""

    def attend(
        self, queries: mx.array, values: Any, *, cache: Any, scale: float, mask: Any, sinks: mx.array | None
    ) -> mx.array:
        """What `queries` `[1, heads, n, width]` find, in their shape. `values` and `cache` are what the same cache gave
        with the keys and the cache itself, `mask` is what its `make_mask` gave."""
        ...


class OwnWay(Protocol):
    """Another way to attend to keys that are arrays, and to gate."""

    def attend(
        self,
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        *,
        cache: Any,
        scale: float,
        mask: Any,
        sinks: mx.array | None,
    ) -> mx.array | None:
        """What `queries` find, in their shape; None where this is to be left to MLX."""
        return None

    def gated(self, gate: mx.array, x: mx.array) -> mx.array | None:
        """What `swiglu` makes of them, in their shape; None where this is to be left to MLX."""
        return None


_WAY: Final[ContextVar[OwnWay | None]] = ContextVar("own way of attending", default=None)


class AttentionSeam:
    """The places where a model's classes look for their attention, found once."""

    def __init__(self, model: Any) -> None:
        classes = {base for module in model.modules() for base in type(module).__mro__}
        methods = [method for one in classes for method in vars(one).values() if isinstance(method, FunctionType)]
        # By the methods, not by `sys.modules`: mlx-lm loads a model file of a folder's own without putting it there.
        files = {id(method.__globals__): method.__globals__ for method in methods}
        self._places = [names for names in files.values() if _NAME in names]
        # A file may call something of its own so. And a pass of another model's may be under way.
        self._gates = [names for names in files.values() if names.get(_GATE) in (activations.swiglu, _gated)]

    @contextmanager
    def opened(self, way: OwnWay | None = None) -> Iterator[None]:
        """Build a pass inside, whose caches may give `Fetched` keys; those that are arrays go a `way` of their own, and
        so do gates."""
        names: list[tuple[dict[str, Any], str, Any]] = [(at, _NAME, _Attention(at[_NAME])) for at in self._places]
        names += [(at, _GATE, _gated) for at in self._gates]
        originals = [place[name] for place, name, _ in names]
        for place, name, stand_in in names:
            place[name] = stand_in
        before = _WAY.set(way)
        try:
            yield
        finally:
            _WAY.reset(before)
            for (place, name, _), original in zip(names, originals, strict=True):
                place[name] = original


def _gated(gate: mx.array, x: mx.array) -> mx.array:
    way = _WAY.get()
    found = way.gated(gate, x) if way is not None else None
    return cast(mx.array, activations.swiglu(gate, x)) if found is None else found


class _Attention:
    """Called like the function that it stands in for."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __call__(
        self,
        queries: mx.array,
        keys: Any,
        values: Any,
        cache: Any,
        scale: float,
        mask: Any,
        sinks: mx.array | None = None,
    ) -> mx.array:
        way = _WAY.get()
        if way is not None and isinstance(keys, mx.array):
            found = way.attend(queries, keys, values, cache=cache, scale=scale, mask=mask, sinks=sinks)
            if found is not None:
                return found
        if isinstance(keys, mx.array | tuple):
            return cast(mx.array, self._original(queries, keys, values, cache, scale, mask, sinks))
        fetched = cast(Fetched, keys)
        return fetched.attend(queries, values, cache=cache, scale=scale, mask=mask, sinks=sinks)


attend: Final = _Attention(base.scaled_dot_product_attention)
"""mlx-lm's own attention, for keys of any kind."""

_SEAMS: Final[dict[int, AttentionSeam]] = {}


def seam_of(model: Any) -> AttentionSeam:
    """That of a model, found once."""
    key = id(model)
    if key not in _SEAMS:
        _SEAMS[key] = AttentionSeam(model)
        weakref.finalize(model, _SEAMS.pop, key, None)
    return _SEAMS[key]
