"""Trials of a model that other processes compute with too: all make the same passes, and go by the same verdicts.

Of a model that is nobody else's, nothing here does anything.
"""

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

import mlx.core as mx

from mlx_spec.models.splitting.order import agreed, settled


class Others(Protocol):
    """Those who compute with the same model."""

    def begin_trial(self, name: str, how: Mapping[str, Any]) -> None:
        """A trial of this name begins."""

    def go(self, arrays: list[mx.array]) -> None:
        """A pass of it was built, that gives these arrays: it is computed by all now, or by none."""

    def judged(self, agrees: bool) -> bool:
        """What came of it, for all of them."""
        ...

    def end_trial(self) -> None:
        """It is over, whatever came of it."""


OTHERS: Final[dict[int, Others]] = {}
"""By the id of a model."""


def share(model: Any, others: Others) -> None:
    """Have the trials of a model be those of others too, for as long as it lives."""
    if id(model) not in OTHERS:
        weakref.finalize(model, OTHERS.pop, id(model), None)
    OTHERS[id(model)] = others


def is_shared(model: Any) -> bool:
    """Whether others compute with a model too, so that none may make a pass alone."""
    return id(model) in OTHERS


@contextmanager
def trial(model: Any, name: str, **how: Any) -> Iterator[None]:
    """Try something inside, by ordinary passes. `how`: what others need to know besides, ready for JSON."""
    others = OTHERS.get(id(model))
    if others is None:
        yield
        return
    others.begin_trial(name, how)
    try:
        yield
    finally:
        settled(model)
        others.end_trial()


def go(model: Any, *arrays: mx.array | None) -> None:
    """Called when a pass was built: in a trial passes are computed one by one, so that all have them in one order."""
    if (others := OTHERS.get(id(model))) is not None:
        others.go([array for array in arrays if array is not None])


def judged(model: Any, agrees: bool) -> bool:
    """A verdict: whoever shares the model has the same. Where nobody is told of trials, all ranks make them by
    themselves, and it goes the way that passes go."""
    if (others := OTHERS.get(id(model))) is None:
        return agreed(model, agrees)
    settled(model)  # each pass of it was set going, or could not be built to its end
    return others.judged(agrees)
