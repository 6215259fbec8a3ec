"""Pools, tables and rows as a pass over blocks has them, and what each row should find, in float64."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import mlx.core as mx
import numpy as np

from mlx_spec.acceptance.tree import TokenTree
from mlx_spec.machine.kernels.paged_attention import paged_attention
from mlx_spec.machine.kernels.paged_rows import PagedRows

UNWRITTEN: Final = np.nan
"""What lies where nobody has written, and in blocks of others."""


@dataclass(frozen=True)
class Answer:
    """One answer of a case: its keys and values `[kv_heads, length, width]`, the queries of its newest tokens, and the
    tree that these are, behind a text, if they are one."""

    keys: np.ndarray
    values: np.ndarray
    queries: np.ndarray
    tree: TokenTree | None = None

    @property
    def length(self) -> int:
        return int(self.keys.shape[1])

    @property
    def count(self) -> int:
        return len(self.queries)

    @property
    def text(self) -> int:
        return self.length - self.count

    def sees(self, row: int) -> list[int]:
        """The tokens that a row sees, by their position."""
        if self.tree is None:
            return list(range(self.text + row + 1))
        return [*range(self.text), *(self.text + node for node in [0, *self.tree.path(row)])]

    def only(self, row: int) -> "Answer":
        """The row alone: the text of a chain that ends with it."""
        seen = self.sees(row)
        return Answer(self.keys[:, seen], self.values[:, seen], self.queries[row : row + 1])


@dataclass(frozen=True)
class Shape:
    """Of a layer."""

    heads: int = 4
    kv_heads: int = 2
    width: int = 8
    value_width: int = 8
    block_tokens: int = 16

    def answer(self, seed: int, length: int, count: int, tree: TokenTree | None = None) -> Answer:
        generator = np.random.default_rng(seed)

        def drawn(*shape: int) -> np.ndarray:
            return generator.normal(size=shape).astype(np.float32)

        keys, values = (drawn(self.kv_heads, length, width) for width in (self.width, self.value_width))
        return Answer(keys, values, 2 * drawn(count, self.heads, self.width), tree)


@dataclass(frozen=True)
class Laid:
    """Answers in the blocks of a pool."""

    queries: mx.array
    keys: mx.array
    values: mx.array
    rows: PagedRows

    def attend(self, **options: Any) -> mx.array:
        return paged_attention(self.queries, self.keys, self.values, self.rows, **{"scale": 0.3, **options})


def laid(shape: Shape, answers: Sequence[Answer], *, seed: int | None = None, dtype: mx.Dtype = mx.float32) -> Laid:
    """The answers in blocks one behind the other, or strewn over a larger pool by `seed`; all else is not a number."""
    size = shape.block_tokens
    needed = [-(-answer.length // size) for answer in answers]
    blocks = sum(needed) + (3 if seed is None else 9)
    free = list(range(1, blocks)) if seed is None else np.random.default_rng(seed).permutation(blocks).tolist()
    pools = [
        np.full((blocks, shape.kv_heads, size, width), UNWRITTEN, dtype=np.float32)
        for width in (shape.width, shape.value_width)
    ]
    tables = []
    for answer, count in zip(answers, needed, strict=True):
        table = tuple(free.pop(0) for _ in range(count))
        for pool, given in zip(pools, (answer.keys, answer.values), strict=True):
            for place, block in enumerate(table):
                part = given[:, place * size : (place + 1) * size]
                pool[block, :, : part.shape[1]] = part
        tables.append(table)
    rows = PagedRows(tuple(tables), tuple(a.length for a in answers), tuple(a.count for a in answers), size)
    if any(answer.tree is not None for answer in answers):
        rows = replace(rows, seen=_seen(answers), texts=tuple(answer.text for answer in answers))
    queries = np.concatenate([answer.queries for answer in answers])
    return Laid(*(mx.array(array).astype(dtype) for array in (queries, *pools)), rows)


def _seen(answers: Sequence[Answer]) -> mx.array:
    most = max(answer.count for answer in answers)
    seen = np.zeros((sum(answer.count for answer in answers), most), dtype=bool)
    row = 0
    for answer in answers:
        for own in range(answer.count):
            seen[row, [node - answer.text for node in answer.sees(own) if node >= answer.text]] = True
            row += 1
    return mx.array(seen)


def exact(
    answer: Answer,
    *,
    scale: float = 0.3,
    window: int | None = None,
    softcap: float | None = None,
    sinks: np.ndarray | None = None,
) -> np.ndarray:
    """What the rows of an answer take from its values, `[rows, heads, value width]`, one key after the other."""
    group = answer.queries.shape[1] // answer.keys.shape[0]
    found = []
    for row in range(answer.count):
        seen = answer.sees(row)[-(window or answer.length) :]
        for head in range(answer.queries.shape[1]):
            keys, values = (array[head // group, seen].astype(np.float64) for array in (answer.keys, answer.values))
            scores = keys @ answer.queries[row, head].astype(np.float64) * scale
            if softcap is not None:
                scores = softcap * np.tanh(scores / softcap)
            weights = np.exp(scores - scores.max())
            total = weights.sum()
            if sinks is not None:
                total += np.exp(sinks[head] - scores.max())
            found.append(weights @ values / total)
    return np.stack(found).reshape(answer.count, -1, answer.values.shape[2])
