"""How wide whole passes of a model may be, and whether trees and the rows of several answers may be among them: tried
with the very passes that answers make."""

import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import mlx.core as mx

from mlx_spec.acceptance.tree import tree_of
from mlx_spec.decoding.cache.cached_model import CachedModel, cached_model
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.together import Part, score_together
from mlx_spec.errors import UnsupportedModelError
from mlx_spec.machine.kernels.products.few_rows import MOST_ROWS
from mlx_spec.machine.kernels.products.layers import adopted

# One is long enough for what looks back further than a few tokens: convolutions, compressed keys.
_TEXTS: Final = ([1, 2, 3, 4, 5] * 5, [5, 3], [2, 4, 1])
# A child of the known token that is not on the path stands between it and the next: as drafted trees have it.
_PARENTS: Final = (0, 0, 2)
_OFF_PATH: Final = 6
# Turns that count, and those before, in which graphs are built and kernels compiled.
_TURNS: Final = 9
_FIRST: Final = 2


class WholePasses:
    """Strict passes of one model behind short texts, with keys and values in `kv_bits`, whose attention may go
    `by_row`."""

    def __init__(
        self, model: Any, name: str, kv_bits: int | None, most: int = MOST_ROWS, *, by_row: bool = False
    ) -> None:
        self._model, self._name, self._kv_bits, self._most, self._by_row = model, name, kv_bits, most, by_row
        self._alone: dict[int, tuple[CachedModel, list[mx.array]]] = {}

    def widest(self, widths: Sequence[int]) -> int:
        """The greatest of `widths` (ascending), up to the first at which a row has other bits than alone."""
        found = 1
        for width in widths:
            if not (self._chain_agrees(width) and self._answers_agree(width)):
                break
            found = width
        return found

    def trees_agree(self) -> bool:
        """Whether the rows of a tree have the bits of its path. Never where a pass takes no tree."""
        cached = self._begun(0)
        if not cached.takes_trees():
            return False
        first, *others = self._ids(0, len(_PARENTS))
        tree = tree_of(_PARENTS)
        placement = Placement(tree.depth_row, tree.depth_row, tree.seen)
        rows = cached.score(mx.array([first, _OFF_PATH, *others], dtype=mx.int32), kept=1, placement=placement)
        return _same([rows[0], *rows[2:]], self._rows_alone(0, len(_PARENTS)))

    def _chain_agrees(self, width: int) -> bool:
        rows = self._begun(0).score(mx.array(self._ids(0, width), dtype=mx.int32), kept=1)
        return _same([*rows], self._rows_alone(0, width))

    def _answers_agree(self, width: int) -> bool:
        """The rows of up to three answers in one pass."""
        counts = [len(range(text, width, len(_TEXTS))) for text in range(len(_TEXTS))]
        asked = [(text, count) for text, count in enumerate(counts) if count]
        parts = [
            Part(self._begun(text), mx.array(self._ids(text, count), dtype=mx.int32), kept=1) for text, count in asked
        ]
        found = score_together(parts)
        return all(
            _same([*rows], self._rows_alone(text, count)) for rows, (text, count) in zip(found, asked, strict=True)
        )

    def _rows_alone(self, text: int, count: int) -> list[mx.array]:
        """What plain steps say."""
        if text not in self._alone:
            self._alone[text] = self._begun(text), []
        cached, rows = self._alone[text]
        for token_id in self._ids(text, count)[len(rows) :]:
            (row,) = cached.score(mx.array([token_id], dtype=mx.int32), kept=1)
            mx.eval(row)
            rows.append(row)
        return rows[:count]

    def _ids(self, text: int, count: int) -> list[int]:
        return [1 + (3 * at + text) % 5 for at in range(count)]

    def _begun(self, text: int) -> CachedModel:
        cached = cached_model(
            self._model,
            self._name,
            speculative=True,
            kv_bits=self._kv_bits,
            widest=self._most,
            by_row=self._by_row,
        )
        cached.prefill(_TEXTS[text])
        return cached


def whole_widths(
    model: Any, name: str, kv_bits: int | None, widths: Sequence[int], *, by_row: bool = False
) -> tuple[int, bool]:
    """The greatest of `widths` that whole passes may have, 1 where none, and whether trees may be among them. A model
    that can only be decoded plainly makes passes of one row."""
    try:
        passes = WholePasses(model, name, kv_bits, max(widths, default=1), by_row=by_row)
        widest = passes.widest(widths)
        return widest, widest > len(_PARENTS) and passes.trees_agree()
    except UnsupportedModelError:
        return 1, False


def strict_price(model: Any, name: str, kv_bits: int | None, *, by_row: bool = False) -> float:
    """What a strict plain step takes, in fast ones: 1 where both are made alike."""
    if not (adopted(model) or by_row):
        return 1.0
    ways = [
        cached_model(model, name, speculative=False, kv_bits=kv_bits),
        cached_model(model, name, speculative=False, kv_bits=kv_bits, widest=1, by_row=by_row),
    ]
    taken: list[list[float]] = [[], []]
    for cached in ways:
        cached.prefill(_TEXTS[0])
    for turn in range(_TURNS + _FIRST):
        for times, cached in zip(taken, ways, strict=True):
            started = time.perf_counter()
            mx.eval(cached.score(mx.array([_TEXTS[0][0]], dtype=mx.int32)))
            if turn >= _FIRST:
                times.append(time.perf_counter() - started)
    fast, strict = (statistics.median(times) for times in taken)
    return strict / fast


def steps_to(most: int, *, every: bool) -> Iterator[int]:
    """The widths to try up to `most`: all, or where each row costs as much as the first, the double of the last."""
    width = 2
    while width < most:
        yield width
        width = width + 1 if every else 2 * width
    if most > 1:
        yield most


def _same(found: Sequence[mx.array], expected: Sequence[mx.array]) -> bool:
    return bool(mx.array_equal(mx.stack(list(found)), mx.stack(list(expected)), equal_nan=True).item())
