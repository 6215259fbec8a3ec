"""Which way of making a pass takes less time: replaying a compiled graph, which saves the host's work, or building an
ordinary one, which looks at no more of the cache than was written. It depends on machine, rows and context, so it is
measured."""

import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import mlx.core as mx

from mlx_spec.decoding.cache.cached_model import CachedModel, cached_model
from mlx_spec.decoding.cache.passes.compiled import CHOICES

_CONTEXTS: Final = (60, 1500)
_ROWS: Final = (1, 6)
_REPEATS: Final = 2
# Less is noise, and a compiled pass leaves the host free for other things.
_WORTH_BUILDING: Final = 1.03

Ratio = tuple[int, int, float]
"""Rows, tokens of context, and the time of a compiled pass over that of an ordinary one."""


@dataclass(frozen=True, slots=True)
class PassChoice:
    """The ratios that were measured, in any order; where there are none, compiled passes are taken. Passes of up to
    `exact_rows` have the bits of a plain step, and so are never built in another way than that."""

    ratios: tuple[Ratio, ...] = ()
    exact_rows: float = 1

    def compiled_pays(self, rows: int, context: int) -> bool:
        """By the measured number of rows that is nearest, and in a straight line between two contexts."""
        ways_agree = any(measured == 1 for measured, _, _ in self.ratios)
        if not self.ratios or (rows <= self.exact_rows and not ways_agree):
            return True
        nearest = min({1, *(measured for measured, _, _ in self.ratios)}, key=lambda measured: abs(measured - rows))
        points = sorted((tokens, ratio) for measured, tokens, ratio in self.ratios if measured == nearest)
        return not points or between(points, context) < _WORTH_BUILDING


def between(points: list[tuple[int, float]], context: int) -> float:
    """A ratio at `context`, in a straight line between the points, ascending, beside it; beyond them as at the last."""
    below = [point for point in points if point[0] <= context]
    above = [point for point in points if point[0] >= context]
    if not below or not above:
        return (above or below[-1:])[0][1]
    (left, low), (right, high) = below[-1], above[0]
    return low if left == right else low + (high - low) * (context - left) / (right - left)


def measure_choice(
    model: Any,
    name: str,
    widest: int,
    listen_to: tuple[int, ...] = (),
    tell: Callable[[str, float], None] = lambda stage, fraction: None,
    kv_bits: int | None = None,
) -> PassChoice:
    """Time both ways in turns, over contexts of made-up keys and values, of `kv_bits` each.

    Nothing is to choose where a model cannot be compiled, and nothing where it would decide a word: where both ways
    differ in their bits, a pass over one row is never built anew, and a wider one only where rows have other bits in
    passes of other widths anyway.
    """
    found: list[Ratio] = []
    alone: mx.array | None = None
    ways_agree = rows_agree = True
    points = list(product(_CONTEXTS, [rows for rows in _ROWS if rows <= widest]))
    for at, (context, rows) in enumerate(points):
        tell("comparing two ways of making a pass", at / len(points))
        ways = {
            compiled: cached_model(model, name, speculative=True, listen_to=listen_to, kv_bits=kv_bits)
            for compiled in (True, False)
        }
        if not all(cached.pretend(context, compiled=compiled) for compiled, cached in ways.items()):
            return PassChoice()
        times, logits = _timed(ways, rows)
        found.append((rows, context, min(times[True]) / min(times[False])))
        alone = logits[True] if rows == 1 else alone
        ways_agree = ways_agree and bool(mx.array_equal(logits[True], logits[False]).item())
        rows_agree = rows_agree and alone is not None and bool(mx.array_equal(alone[0], logits[True][0]).item())
    if ways_agree:
        return PassChoice(tuple(found))
    return PassChoice() if rows_agree else PassChoice(tuple(ratio for ratio in found if ratio[0] > 1))


def _timed(ways: dict[bool, CachedModel], rows: int) -> tuple[dict[bool, list[float]], dict[bool, mx.array]]:
    """Seconds of passes in each way, in turns, and the logits `[rows, vocab]` of the last ones."""
    times: dict[bool, list[float]] = {compiled: [] for compiled in ways}
    logits: dict[bool, mx.array] = {}
    for at in range(_REPEATS + 1):
        for compiled in sorted(ways, reverse=bool(at % 2)):
            started = time.perf_counter()
            logits[compiled] = ways[compiled].score(mx.full((rows,), 1, dtype=mx.int32))
            mx.eval(logits[compiled])
            if at:  # in the first, graphs are built
                times[compiled].append(time.perf_counter() - started)
            ways[compiled].forget(rows)
    return times, logits


def adopt_choice(model: Any, choice: PassChoice) -> None:
    """Let a model's passes be made as measured, for as long as it lives."""
    if id(model) not in CHOICES:
        weakref.finalize(model, CHOICES.pop, id(model), None)
    CHOICES[id(model)] = choice.compiled_pays


def choice_of(values: object) -> PassChoice:
    """From what a file holds; no ratios where that makes no sense."""
    return PassChoice(ratios_of(values))


def ratios_of(values: object) -> tuple[Ratio, ...]:
    """From what a file holds; none where that makes no sense."""

    def ratios(rows: Iterable[Any]) -> Iterator[Ratio]:
        for count, context, ratio in rows:
            if not 0 < float(ratio) < 1e3:
                raise ValueError(f"{ratio} is no ratio of times")
            yield int(count), int(context), float(ratio)

    try:
        return tuple(ratios(values)) if isinstance(values, list) else ()
    except (ValueError, TypeError):
        return ()
