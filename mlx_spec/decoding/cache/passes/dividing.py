"""Modules that are called once for each answer in a pass over the rows of many, found without knowing any model.

A module that is given a cache and does more than to attend (a recurrence, attention of its own making) cannot take the
rows of several answers as one sequence. It is called for each answer with that answer's rows, cache and mask, and what
it returns is laid side by side again; everything around it still runs over all rows at once.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

import mlx.nn as nn

from mlx_spec.decoding.cache.passes.apart import Apart, ApartCache, Rows

Depth = Literal["attention", "mixer", "layer", "body"]
"""Which modules are divided: those that are given what is not only attended to, all that are given a cache and have no
such module inside, whole layers, or all that is below the head."""

_GIVEN: Final = ("cache", "mask")


class Divisions:
    """The modules of a model that can be divided, and where each hangs, found once."""

    def __init__(self, model: Any) -> None:
        layers = {id(layer) for layer in model.layers}
        given = [module for module in model.modules() if _is_given(module)]
        inside = {id(module): {id(child) for child in module.modules()} - {id(module)} for module in given}
        above = {name: children for name, children in inside.items() if children & layers}
        below = {name: children for name, children in inside.items() if name not in above}
        body = {name for name, children in above.items() if not children & set(above)}
        self._places = {
            "mixer": _places(model, {name for name, children in below.items() if not children & set(below)}),
            "layer": _places(model, _outermost(below)),
            "body": _places(model, body | (_outermost(below) - set().union(*(above[name] for name in body)))),
        }

    @contextmanager
    def divided(self, depth: Depth, rows: Rows) -> Iterator[None]:
        """Build a pass over `rows` inside."""
        places = self._places["mixer" if depth == "attention" else depth]
        originals = [container[key] for container, key in places]
        for (container, key), original in zip(places, originals, strict=True):
            _put(container, key, _Divided(original, rows, attends=depth == "attention"))
        try:
            yield
        finally:
            for (container, key), original in zip(places, originals, strict=True):
                _put(container, key, original)


class _Divided:
    """Called like the module that it stands in for, which is called for each answer."""

    def __init__(self, module: Any, rows: Rows, *, attends: bool) -> None:
        self._module, self._rows, self._attends = module, rows, attends

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        handed = [value if isinstance(value, list) else [value] for value in (*args, *kwargs.values())]
        given = [value for values in handed for value in values if isinstance(value, Apart)]
        caches = [value for value in given if isinstance(value, ApartCache)]
        if not given or (self._attends and all(cache.is_attended for cache in caches)):
            return self._module(*args, **kwargs)
        every_arg = [self._rows.parts(value) for value in args]
        every_kwarg = {name: self._rows.parts(value) for name, value in kwargs.items()}
        results = [
            self._module(*(parts[i] for parts in every_arg), **{name: parts[i] for name, parts in every_kwarg.items()})
            for i in range(len(self._rows.counts))
        ]
        return self._rows.joined(results)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _is_given(module: Any) -> bool:
    try:
        parameters = inspect.signature(type(module).__call__).parameters
    except ValueError:  # of something that is not written in Python
        return False
    return any(name in parameters for name in _GIVEN)


def _outermost(inside: dict[int, set[int]]) -> set[int]:
    """Of modules, with those inside each, the ones that are inside no other."""
    return set(inside) - set().union(*inside.values())


def _places(model: Any, names: set[int]) -> list[tuple[Any, Any]]:
    """Where the modules of these ids hang: a module's dictionary or a list in it, and the key."""
    found: list[tuple[Any, Any]] = []
    for module in model.modules():
        for key, value in module.items():
            found += _within(module, key, value, names)
    return found


def _within(container: Any, key: Any, value: Any, names: set[int]) -> list[tuple[Any, Any]]:
    if isinstance(value, nn.Module):
        return [(container, key)] if id(value) in names else []
    if isinstance(value, list):
        return [place for at, item in enumerate(value) for place in _within(value, at, item, names)]
    return []


def _put(container: Any, key: Any, module: Any) -> None:
    """Set an item past `nn.Module.__setattr__`, which takes only what has parameters for a child."""
    if isinstance(container, list):
        container[key] = module
    else:
        dict.__setitem__(container, key, module)
