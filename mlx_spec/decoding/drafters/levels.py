"""Drafting for many answers level by level: each drafter says what pass it needs next, and the passes of all drafters
that run the same model are made as one."""

from collections.abc import Generator, Sequence
from typing import TypeVar

import mlx.core as mx

from mlx_spec.decoding.cache.together import Part, score_together

T = TypeVar("T")

Levels = Generator[Part, mx.array, T]
"""What is drafted: yields what is to be scored next, is sent its logits `[n, vocab]`, and returns what came of it."""


def alone(levels: Levels[T]) -> T:
    """Draft for one answer."""
    return together([levels])[0]


def together(drafting: Sequence[Levels[T]]) -> list[T]:
    """Draft for all of them. Who is done, or unsure, leaves; the others go on."""
    done: dict[int, T] = {}
    asked: dict[int, Part] = {}
    scored: dict[int, mx.array | None] = dict.fromkeys(range(len(drafting)))
    while scored:
        for number, logits in scored.items():
            try:
                asked[number] = next(drafting[number]) if logits is None else drafting[number].send(logits)
            except StopIteration as end:
                done[number] = end.value
        scored = dict(zip(asked, score_together(list(asked.values())), strict=True))
        asked = {}
    return [done[number] for number in range(len(drafting))]


def at_once(draft: T) -> Levels[T]:
    """What needs no pass that could be shared."""
    yield from ()
    return draft
