"""Where modules hang in a model, and classes that stand in for theirs: nothing of a family's code is copied."""

from collections.abc import Callable, Iterator
from functools import wraps
from inspect import signature
from typing import Any

import mlx.nn as nn

Place = tuple[Any, Any]
"""A list, or a module as a dictionary, and the key in it."""


def put(place: Place, module: Any) -> None:
    """Set an item past `nn.Module.__setattr__`, which takes only what has parameters for a child."""
    container, key = place
    if isinstance(container, list):
        container[key] = module
    else:
        dict.__setitem__(container, key, module)


def places(model: nn.Module) -> Iterator[tuple[Place, nn.Module]]:
    """Each module below `model`, and where it hangs."""
    for module in model.modules():
        for key, value in module.items():
            yield from _within((module, key), value)


def _within(place: Place, value: Any) -> Iterator[tuple[Place, nn.Module]]:
    if isinstance(value, nn.Module):
        yield place, value
    elif isinstance(value, list | dict):
        keys = range(len(value)) if isinstance(value, list) else list(value)
        for key in keys:
            yield from _within((value, key), value[key])


def place_of(model: nn.Module, wanted: nn.Module) -> Place | None:
    """Where one module hangs; None where it does not."""
    return next((place for place, module in places(model) if module is wanted), None)


def calls_through(module: nn.Module, called: Callable[..., Any]) -> None:
    """Have a module be called through `called(call, *args)`, where `call` is as it was called before. It stays what it
    is, with all that it holds, and passes for its own class."""
    own = type(module)

    @wraps(own.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not args and kwargs:  # the first by its name too
            bound = signature(own.__call__).bind(self, **kwargs)
            args, kwargs = bound.args[1:], bound.kwargs
        return called(lambda *given, **named: own.__call__(self, *given, **named), *args, **kwargs)

    become(module, {"__call__": call})


def become(module: nn.Module, members: dict[str, Any]) -> None:
    """Give a module members of its own, as a class between it and its class."""
    own = type(module)
    known = {"__module__": own.__module__, "__qualname__": own.__qualname__, "__doc__": own.__doc__}
    module.__class__ = type(own.__name__, (own,), {**known, **members})


def emptied(module: nn.Module) -> None:
    """Put all that a module holds out of sight: nobody reads its weights, or finds the modules below it. Its flags, and
    theirs, can still be asked for."""
    vars(module).update(module)
    module.clear()
