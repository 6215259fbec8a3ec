"""What goes from layer to layer in a model, found by building a pass that is never computed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.models.splitting.places import calls_through

_ROWS: Final = 2


@dataclass(frozen=True, slots=True)
class Flow:
    """Each layer gives the next one array `[batch, n, width]` of type `dtype`, and nothing else goes around them."""

    width: int
    dtype: mx.Dtype


class NotPlainError(Exception):
    """A model's layers are not called in a plain loop; says why, as the end of a sentence."""


def flow_of(model: Any) -> Flow:
    """The flow of a model whose layers are called one behind the other. Raises NotPlainError.

    A pass is built in which no layer is called: each gives an array of a length of its own, which is the next one's and
    fits nothing else. So where something goes around a layer, that fails.
    """
    layers = list(model.layers)
    caches = make_prompt_cache(model)
    if len(caches) != len(layers) or any(cache is None for cache in caches):
        raise NotPlainError("its layers do not have a cache each")
    flow, last = _whole(model), len(layers) - 1
    seen: list[tuple[int, Any]] = []
    given: list[mx.array] = []
    try:
        with _called_through(layers, lambda number: _recorder(number, seen, given, last=number == last)):
            model(_ids(), cache=caches)
    except (ValueError, IndexError) as error:
        raise NotPlainError("states of its layers go around the layers behind them") from error
    _check(seen, given, len(layers))
    return flow


def _ids() -> mx.array:
    return mx.zeros((1, _ROWS), dtype=mx.int32)


def _whole(model: Any) -> Flow:
    """What the layers give, when they are called as they are."""
    found: list[Any] = []

    def listen(call: Any, *args: Any, **kwargs: Any) -> Any:
        found.append(call(*args, **kwargs))
        return found[-1]

    with _called_through(model.layers, lambda number: listen):
        model(_ids(), cache=make_prompt_cache(model))
    if not found or any(not isinstance(state, mx.array) or state.ndim != 3 for state in found):
        raise NotPlainError("its layers give each other more than one state for each token")
    kinds = {(state.shape[-1], state.dtype) for state in found}
    if len(kinds) > 1:
        raise NotPlainError("its layers give states of several types or widths")
    return Flow(*kinds.pop())


@contextmanager
def _called_through(layers: Sequence[Any], called: Callable[[int], Callable[..., Any]]) -> Iterator[None]:
    """Layers that are called through what `called` gives for each inside, and as ever behind it."""
    classes = [type(layer) for layer in layers]
    try:
        for number, layer in enumerate(layers):
            calls_through(layer, called(number))
        yield
    finally:
        for layer, own in zip(layers, classes, strict=True):
            layer.__class__ = own


def _recorder(number: int, seen: list[Any], given: list[mx.array], *, last: bool) -> Any:
    def record(call: Any, h: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((number, h))
        batch, _, width = seen[0][1].shape
        given.append(mx.zeros((batch, _ROWS if last else _ROWS + 1 + number, width), dtype=h.dtype))
        return given[-1]

    return record


def _check(seen: list[Any], given: list[mx.array], count: int) -> None:
    if [number for number, _ in seen] != list(range(count)):
        raise NotPlainError("its layers are not called once each, in their order")
    for (_, h), before in zip(seen[1:], given, strict=False):
        if h is not before:
            raise NotPlainError("it does something with the states between its layers")
