"""Work for many answers level by level: each says what pass it needs next, and those of all that run the same model are
made as one. Drafters draft so, and prompts are read so."""

from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import mlx.core as mx

from mlx_spec.models.heads.layer import apart

T = TypeVar("T")

Make = Callable[[Sequence[Any]], Sequence[Any]]
"""Computes what was asked of it by some answers, as one where it can: what each gets is what it gets alone."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What an answer needs next: what `make` makes of `given`. Those of the same `make` are made at once."""

    make: Make
    given: Any


Levels = Generator[Ask, Any, T]
"""Yields what is to be computed next, is sent it, and returns what came of it: a draft, say."""


@dataclass(frozen=True, slots=True)
class RowByRow:
    """Makes `[n, width]` of `[n, other]` by a function that sees each row by itself: a projection, a head."""

    function: Callable[[mx.array], mx.array]

    def __call__(self, given: Sequence[mx.array]) -> list[mx.array]:
        """The rows of each, of all in one pass."""
        if len(given) == 1:
            return [self.function(given[0])]
        return apart(self.function(mx.concatenate(list(given))), [rows.shape[0] for rows in given])


def alone(levels: Levels[T]) -> T:
    """Work for one answer."""
    return together([levels])[0]


def together(working: Sequence[Levels[T]]) -> list[T]:
    """Work for all of them. Who is done, or unsure, leaves; the others go on."""
    done: dict[int, T] = {}
    made: dict[int, Any] = dict.fromkeys(range(len(working)))
    while made:
        asked: dict[Make, list[tuple[int, Any]]] = defaultdict(list)
        for number, given in made.items():
            try:
                ask = working[number].send(given)
                asked[ask.make].append((number, ask.given))
            except StopIteration as end:
                done[number] = end.value
        made = {}
        for make, every in asked.items():
            made |= zip((number for number, _ in every), make([given for _, given in every]), strict=True)
    return [done[number] for number in range(len(working))]


def at_once(draft: T) -> Levels[T]:
    """What needs no pass that could be shared."""
    yield from ()
    return draft
